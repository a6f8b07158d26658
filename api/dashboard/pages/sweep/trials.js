/** The trials of a sweep: filtered in the API's language, sorted by the server, read page by page. */

import { page as readPage } from "../../api.js";
import { line, select } from "../../components/fields.js";
import { badge } from "../../components/progress.js";
import { empty, failure, loading } from "../../components/states.js";
import { dataTable } from "../../components/table.js";
import { axisNames, shortName } from "../../data/axes.js";
import { poll } from "../../data/polling.js";
import { fill, h } from "../../dom.js";
import { age, measured, setting } from "../../format.js";

const LIMIT = 100;
const STATES = ["queued", "running", "succeeded", "failed", "cancelled"];
const METRICS = { test_accuracy: "test accuracy", test_loss: "test loss", gradient_alignment: "gradient alignment" };

/** @param {HTMLElement} panel @param {import("../sweep.js").SweepView} view @param {AbortSignal} signal */
export function trialsTab(panel, view, signal) {
  const { state, sweep } = view;
  const place = h("div", {}, loading(8, "Loading trials"));
  const shown = { pages: 1, text: "" };
  const form = h("div", {}, controls(state));
  panel.append(form, place);
  const showAll = () => {
    state.set({ filter: "", state: "" });
    fill(form, controls(state));
    form.querySelector("input").focus();
  };
  const read = async () => {
    const items = [];
    let cursor = null;
    try {
      for (let i = 0; i < shown.pages; i += 1) {
        const found = await readPage(`/sweeps/${sweep.id}/trials`, { limit: LIMIT, cursor, ...question(view) }, signal);
        items.push(...found.items);
        cursor = found.next_cursor;
        if (cursor === null) break;
      }
      show(items, cursor);
    } catch (error) {
      signal.throwIfAborted();
      if (shown.text === "" || error.status === 422) {
        shown.text = "";
        fill(place, failure(error, again));
      }
    }
    return view.over ? null : 5000;
  };
  const show = (items, cursor) => {
    const text = JSON.stringify([items, cursor]);
    if (text === shown.text) return;
    shown.text = text;
    if (items.length === 0) {
      fill(place, empty("No trial is like that.", (state.get("filter") || state.get("state")) && h("button", { type: "button", on: { click: showAll } }, "Show all")));
      return;
    }
    const more = cursor && h("button", { type: "button", class: "more", on: { click: () => { shown.pages += 1; again(); } } }, "Show more");
    fill(place, dataTable({ caption: "Trials", columns: columnsOf(view, items), rows: items, sort: state.get("sort"), onSort: (sort) => state.set({ sort }) }), more);
  };
  const again = poll(read, signal);
  view.addEventListener("changed", () => view.over && again(), { signal });
  state.addEventListener("change", () => { shown.pages = 1; shown.text = ""; again(); }, { signal });
}

function controls(state) {
  return h(
    "form",
    { class: "controls", role: "search", on: { submit: (event) => event.preventDefault() } },
    line("Filter", state.get("filter"), (value) => state.set({ filter: value }), { placeholder: "rule in (fa, dfa) and test_accuracy > 0.9", class: "wide code" }),
    select("State", [{ value: "", label: "any state" }, ...STATES.map((value) => ({ value, label: value }))], state.get("state"), (value) => state.set({ state: value })),
    h("p", { class: "hint under" }, "Comparisons joined by ", h("code", {}, "and"), ", ", h("code", {}, "or"), " and ", h("code", {}, "not"), "; ", h("code", {}, "~"), " means: contains."),
  );
}

function question({ state, sweep }) {
  const fields = ["id", "state", "reason", "seed", "attempts", ...axisNames(sweep), ...Object.keys(METRICS), "finished_at"].join(",");
  return { fields, filter: state.get("filter"), sort: sortOf(state, sweep), state: state.get("state") };
}

/** The order, if it is one of trials: groups have others. */
function sortOf(state, sweep) {
  const columns = ["id", "state", "seed", "attempts", "finished_at", ...axisNames(sweep), ...Object.keys(METRICS)];
  return columns.includes(state.get("sort").replace(/^-/, "")) ? state.get("sort") : "";
}

function columnsOf({ sweep }, items) {
  const names = axisNames(sweep);
  const axes = names.map((name) => ({ name }));
  const numeric = (name) => items.every((trial) => trial[name] === null || typeof trial[name] === "number");
  const metrics = Object.entries(METRICS).filter(([name]) => items.some((trial) => trial[name] !== null));
  return [
    { key: "id", label: "Trial", sort: "id", cell: (trial) => h("a", { href: `/trials/${trial.id}` }, trial.id) },
    { key: "state", label: "State", sort: "state", cell: (trial) => [badge(trial.state), trial.reason && trial.reason !== "completed" && h("span", { class: "reason" }, trial.reason)] },
    ...names.map((name) => ({ key: name, label: shortName(name, axes), sort: name, numeric: numeric(name), cell: (trial) => setting(trial[name]) })),
    { key: "seed", label: "seed", numeric: true, sort: "seed", cell: (trial) => String(trial.seed) },
    ...metrics.map(([name, label]) => ({ key: name, label, numeric: true, sort: name, cell: (trial) => measured(trial[name]) })),
    { key: "attempts", label: "attempts", numeric: true, sort: "attempts", cell: (trial) => String(trial.attempts) },
    { key: "finished_at", label: "ended", sort: "finished_at", cell: (trial) => (trial.finished_at ? age(trial.finished_at) : "–") },
  ];
}
