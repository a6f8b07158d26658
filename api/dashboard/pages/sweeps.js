/** All sweeps: found by name, state and filter, each with how far it is. */

import { page as readPage } from "../api.js";
import { badge, bar } from "../components/progress.js";
import { line, select } from "../components/fields.js";
import { dataTable } from "../components/table.js";
import { empty, failure, loading } from "../components/states.js";
import { word } from "../charts/brushes.js";
import { axisNames, shortName } from "../data/axes.js";
import { poll } from "../data/polling.js";
import { fill, h, settled } from "../dom.js";
import { age, whole } from "../format.js";
import { navigate } from "../navigate.js";
import { ViewState } from "../state.js";

const LIMIT = 50;
const OVER = ["succeeded", "partial", "failed", "cancelled"];
const STATES = ["queued", "running", "paused", ...OVER];

/** @param {import("../router.js").Visit} visit */
export default function sweeps({ place, signal, title }) {
  title("Sweeps");
  const state = new ViewState({ search: "", state: "", filter: "", sort: "" });
  const chosen = new Set();
  const view = { items: [], cursor: null, pages: 1, text: "" };
  const list = h("div", { class: "list" }, loading(8, "Loading sweeps"));
  const compare = h("button", { type: "button", disabled: true, on: { click: () => navigate(`/compare?sweeps=${[...chosen].sort((a, b) => a - b)}`) } }, "Compare");
  place.append(
    h("div", { class: "page-head" }, h("h1", {}, "Sweeps"), h("div", { class: "actions" }, compare, h("a", { class: "button primary", href: "/new" }, "New sweep"))),
    controls(state),
    list,
  );

  const read = async () => {
    try {
      const items = [];
      let cursor = null;
      for (let i = 0; i < view.pages; i += 1) {
        const found = await readPage("/sweeps", { limit: LIMIT, cursor, filter: filterOf(state), sort: state.get("sort"), state: state.get("state") }, signal);
        items.push(...found.items);
        cursor = found.next_cursor;
        if (cursor === null) break;
      }
      show(items, cursor);
      return items.every((sweep) => OVER.includes(sweep.state)) ? 15000 : 3000;
    } catch (error) {
      signal.throwIfAborted();
      if (view.items.length === 0 || error.status === 422) fill(list, failure(error, again));
      view.text = "";
      return error.status < 500 ? null : 5000;
    }
  };
  const show = (items, cursor) => {
    const text = JSON.stringify([items, cursor, state.get("sort")]);
    if (text === view.text && list.querySelector("table")) return;
    Object.assign(view, { items, cursor, text });
    if (items.length === 0) fill(list, nothing(state));
    else fill(list, table(items, state, chosen, mark), cursor && h("button", { type: "button", class: "more", on: { click: more } }, "Show more"));
  };
  const more = () => {
    view.pages += 1;
    again();
  };
  const mark = (id, on) => {
    if (on) chosen.add(id);
    else chosen.delete(id);
    compare.disabled = chosen.size < 2;
    compare.textContent = chosen.size < 2 ? "Compare" : `Compare ${chosen.size}`;
  };
  const again = poll(read, signal);
  state.addEventListener("change", () => {
    view.pages = 1;
    view.text = "";
    again();
  });
}

function controls(state) {
  const later = settled(250, (value) => state.set({ search: value }));
  const search = line("Search", state.get("search"), () => {}, { type: "search", placeholder: "name", on: { input: (event) => later(event.target.value.trim()) } });
  const options = [{ value: "", label: "any state" }, ...STATES.map((value) => ({ value, label: value }))];
  return h(
    "form",
    { class: "controls", role: "search", on: { submit: (event) => event.preventDefault() } },
    search,
    select("State", options, state.get("state"), (value) => state.set({ state: value })),
    line("Filter", state.get("filter"), (value) => state.set({ filter: value }), { placeholder: "owner = ada and tag = paper", class: "wide code" }),
  );
}

/** @param {ViewState} state */
function filterOf(state) {
  const search = state.get("search");
  const parts = [search && `name ~ ${word(search)}`, state.get("filter") && `(${state.get("filter")})`].filter(Boolean);
  return parts.length === 2 ? parts.join(" and ") : (search ? parts[0] : state.get("filter"));
}

function nothing(state) {
  if (state.get("search") || state.get("filter") || state.get("state")) {
    return empty("No sweep is like that.", h("button", { type: "button", on: { click: () => location.assign("/sweeps") } }, "Show all"));
  }
  return empty("There are no sweeps yet.", h("a", { href: "/new" }, "Write the first one"), ", or ", h("code", {}, "alignsweep submit recipes/quickstart.yaml"));
}

function table(items, state, chosen, mark) {
  const ranked = state.get("sort").endsWith("priority") || items.some(({ priority }) => priority !== 0);
  const columns = [
    { key: "pick", label: h("span", { class: "unseen" }, "Compare"), cell: (sweep) => picker(sweep, chosen, mark) },
    { key: "name", label: "Name", sort: "name", cell: nameCell },
    { key: "varied", label: "What varies", spare: true, cell: (sweep) => h("span", { class: "varied", title: axisNames(sweep).join(", ") }, variedOf(sweep)) },
    { key: "state", label: "State", sort: "state", cell: (sweep) => [badge(sweep.state), sweep.diverged > 0 && h("span", { class: "reason" }, `${whole(sweep.diverged)} diverged`)] },
    { key: "progress", label: "Progress", cell: (sweep) => h("div", { class: "progress-cell" }, bar(sweep).element, h("span", { class: "count" }, doneOf(sweep))) },
    { key: "trial_count", label: "Trials", numeric: true, sort: "trial_count", cell: (sweep) => whole(sweep.trial_count) },
    ranked && { key: "priority", label: "Priority", numeric: true, spare: true, sort: "priority", cell: (sweep) => String(sweep.priority) },
    { key: "owner", label: "Owner", spare: true, sort: "owner", cell: (sweep) => sweep.owner ?? h("span", { class: "id" }, "–") },
    { key: "created_at", label: "Submitted", sort: "created_at", cell: (sweep) => h("time", { dateTime: sweep.created_at, title: sweep.created_at }, age(sweep.created_at)) },
  ].filter(Boolean);
  return dataTable({ caption: "Sweeps", columns, rows: items, sort: state.get("sort"), onSort: (sort) => state.set({ sort }) });
}

/** Names of the axes, as far as there is a place for them. */
function variedOf(sweep) {
  const names = axisNames(sweep);
  const axes = names.map((name) => ({ name }));
  return names.map((name) => shortName(name, axes)).join(" × ") || "seeds";
}

function picker(sweep, chosen, mark) {
  return h("input", { type: "checkbox", "aria-label": `Compare ${sweep.name}`, checked: chosen.has(sweep.id), on: { change: (event) => mark(sweep.id, event.target.checked) } });
}

function nameCell(sweep) {
  return [h("a", { href: `/sweeps/${sweep.id}`, class: "strong name", title: sweep.name }, sweep.name), h("span", { class: "id" }, ` ${sweep.id}`), sweep.tags.map((tag) => h("span", { class: "tag" }, tag))];
}

function doneOf({ trials, trial_count: count }) {
  return `${Math.floor((100 * ((trials.succeeded ?? 0) + (trials.failed ?? 0) + (trials.cancelled ?? 0))) / Math.max(1, count))} %`;
}
