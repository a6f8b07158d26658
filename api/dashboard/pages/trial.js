/** One trial: where it stands and why, what was measured, where it ran. */

import { askRows, json, post } from "../api.js";
import { confirmed } from "../components/dialog.js";
import { badge } from "../components/progress.js";
import { empty, failure, loading } from "../components/states.js";
import { dataTable } from "../components/table.js";
import { toast, toastError } from "../components/toast.js";
import { axisNames, shortName } from "../data/axes.js";
import { poll } from "../data/polling.js";
import { fill, h } from "../dom.js";
import { duration, moment, number, setting, told } from "../format.js";
import { navigate } from "../navigate.js";
import { ViewState } from "../state.js";
import { flat } from "./sweep/groups.js";
import { Measured } from "./trial/measured.js";

const OPEN = ["queued", "running"];

/** @param {import("../router.js").Visit} visit */
export default function trialPage({ place, id, signal, title }) {
  title(`Trial ${id}`);
  const state = new ViewState({ scale: "log", measure: "gradient_alignment" });
  const parts = { head: h("header", { class: "sweep-head" }, loading(3, "Loading the trial")), charts: h("div", { class: "charts" }), facts: h("div", { class: "sections" }) };
  place.append(parts.head, parts.charts, parts.facts);
  const measured = new Measured(id, parts.charts, state, signal);
  let text = "";
  let sweep = null;
  const again = poll(async () => {
    try {
      const [trial, explanation, attempts] = await Promise.all([`/trials/${id}`, `/trials/${id}/explain`, `/trials/${id}/attempts`].map((path) => json(path, { signal })));
      sweep ??= await json(`/sweeps/${trial.sweep_id}`, { signal });
      const now = JSON.stringify([trial, explanation, attempts]);
      if (now !== text) {
        text = now;
        showHead(parts.head, trial, { sentence: explanation.sentence, sweep, again: () => again() });
        showFacts(parts.facts, trial, attempts.items, signal);
      }
      await measured.read();
      return OPEN.includes(trial.state) ? 4000 : null;
    } catch (error) {
      signal.throwIfAborted();
      if (text === "") fill(parts.head, failure(error, again));
      return error.status < 500 ? null : 5000;
    }
  }, signal);
  state.addEventListener("change", () => measured.show());
  document.addEventListener("theme", () => measured.show(), { signal });
}

function showHead(place, trial, { sentence, sweep, again }) {
  const act = (path, done, then) => async () => {
    try {
      then(await post(path));
      toast(done);
    } catch (error) {
      toastError(error);
    }
  };
  const cancel = async () => {
    if (await confirmed("Cancel this trial?", "It will not be trained to the end. What was measured stays.", "Cancel the trial")) await act(`/trials/${trial.id}/cancel`, "Cancelled.", again)();
  };
  fill(
    place,
    h(
      "div",
      { class: "page-head" },
      h("div", { class: "title-line" }, h("h1", {}, `Trial ${trial.id}`), badge(trial.state), trial.reason && trial.reason !== "completed" && h("span", { class: "reason" }, trial.reason)),
      h(
        "div",
        { class: "actions" },
        trial.state === "succeeded" && h("button", { type: "button", on: { click: act(`/trials/${trial.id}/reproduce`, "It is trained once more.", (sweep) => navigate(`/sweeps/${sweep.id}`)) } }, "Train once more"),
        OPEN.includes(trial.state) && h("button", { type: "button", class: "danger", on: { click: cancel } }, "Cancel"),
      ),
    ),
    varied(trial, sweep),
    h("p", { class: "meta" }, "of ", h("a", { href: `/sweeps/${sweep.id}` }, sweep.name), ` · sweep ${sweep.id} · seed ${trial.seed} · attempt ${trial.attempts} of ${trial.max_attempts} · submitted ${moment(trial.created_at)}`, trial.finished_at && ` · ended ${moment(trial.finished_at)}`),
    OPEN.includes(trial.state) && h("p", { class: "explanation" }, sentence),
    trial.error && h("pre", { class: "error-text", tabIndex: 0, "aria-label": "The error" }, trial.error),
    trial.summary && summary(trial.summary),
  );
}

/** What tells it from the other trials of its sweep. */
function varied(trial, sweep) {
  const names = axisNames(sweep);
  const axes = names.map((name) => ({ name }));
  const values = flat(trial.config);
  const told = names.filter((name) => (values[name] ?? null) !== null).map((name) => [shortName(name, axes), setting(values[name])]);
  return told.length > 0 && h("p", { class: "varied-values" }, told.map(([name, value]) => h("span", {}, h("span", { class: "meta" }, `${name} `), value)));
}

const FIRST = ["test_accuracy", "test_loss", "gradient_alignment", "weight_alignment"];

function summary(values) {
  const place = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  const shown = Object.entries(values).filter(([, value]) => value !== null).sort(([a], [b]) => place(a) - place(b));
  return h("dl", { class: "figures" }, shown.map(([name, value]) => h("div", {}, h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, number(value)))));
}

function showFacts(place, trial, attempts, signal) {
  const events = h("div", {}, loading(3, "Loading events"));
  const columns = [
    { key: "pack", label: "Pack", cell: (attempt) => attempt.pack_id },
    { key: "ended", label: "Ended", cell: (attempt) => attempt.reason ?? "running" },
    { key: "started", label: "Began", cell: (attempt) => moment(attempt.started_at) },
    { key: "took", label: "Took", numeric: true, cell: (attempt) => (attempt.finished_at ? duration((Date.parse(attempt.finished_at) - Date.parse(attempt.started_at)) / 1000) : "–") },
    { key: "where", label: "Where", cell: (attempt) => (attempt.provenance ? provenance(attempt.provenance) : "–") },
    attempts.some(({ error }) => error) && { key: "error", label: "Error", cell: (attempt) => h("span", { class: "detail" }, attempt.error ?? "") },
  ].filter(Boolean);
  fill(
    place,
    h("section", {}, h("h2", {}, "Attempts"), attempts.length === 0 ? empty("Nobody has tried yet.") : dataTable({ caption: "Attempts", columns, rows: attempts })),
    h("section", {}, h("h2", {}, "Events"), events),
    h("section", {}, h("h2", {}, "Configuration"), configuration(trial.config)),
  );
  showEvents(events, trial.id, signal);
}

function provenance(value) {
  return h("details", {}, h("summary", {}, [value.node, value.device].filter(Boolean).join(", ") || "provenance"), h("pre", { tabIndex: 0, "aria-label": "Provenance" }, JSON.stringify(value, null, 2)));
}

function configuration(config) {
  const values = Object.entries(flat(config));
  return h("dl", { class: "facts configuration" }, values.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, setting(value)))));
}

async function showEvents(place, id, signal) {
  const columns = [
    { key: "at", label: "At", cell: ({ at }) => moment(at) },
    { key: "kind", label: "Event", cell: ({ kind }) => h("code", {}, kind) },
    { key: "detail", label: "Detail", cell: ({ detail }) => h("span", { class: "detail" }, told(detail)) },
  ];
  try {
    const rows = await askRows(`SELECT at, kind, pack_id, detail FROM v_events WHERE trial_id = ${id} ORDER BY event_id`, { signal, maxRows: 500 });
    fill(place, dataTable({ caption: "Events of the trial", columns, rows }));
  } catch (error) {
    if (!signal.aborted) fill(place, failure(error, () => showEvents(place, id, signal)));
  }
}
