/** Questions in SQL over the public views: asked, answered as a table and as a chart, kept as CSV, shared by address. */

import { ask, askRows, Problem } from "../api.js";
import { empty, failure, loading } from "../components/states.js";
import { dataTable, sorted } from "../components/table.js";
import { csvOf, download } from "../data/csv.js";
import { fill, h } from "../dom.js";
import { counted, number } from "../format.js";
import { ViewState } from "../state.js";
import { answerChart } from "./sql/chart.js";
import { Questions } from "./sql/questions.js";
import { schemaList } from "./sql/schema.js";
import { shown } from "./sql/values.js";

const NEWEST = "SELECT coalesce(max(sweep_id), 1) AS sweep FROM v_sweeps";
const MOST_ROWS = 500;

/** @param {import("../router.js").Visit} visit */
export default async function sqlPage({ place, signal, title }) {
  title("SQL");
  const state = new ViewState({ q: "" });
  const editor = h("textarea", { id: "sql", class: "editor code", rows: 9, spellcheck: false, value: state.get("q") || first(1), "aria-describedby": "sql-hint" });
  const answer = h("div", { class: "answer", "aria-live": "polite" }, empty("Nothing was asked yet.", "Choose a question of the cookbook, or write your own and run it."));
  const run = h("button", { type: "submit", class: "primary" }, "Run");
  const running = { stop: new AbortController() };
  const ask = () => {
    running.stop.abort();
    running.stop = new AbortController();
    questions.follow();
    state.set({ q: editor.value.trim() }, { push: true });
    return show(answer, editor.value, { state, questions }, AbortSignal.any([running.stop.signal, signal]), signal);
  };
  const questions = new Questions(editor, ask, signal);
  editor.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    ask();
  });
  place.append(
    h("div", { class: "page-head" }, h("h1", {}, "SQL")),
    h(
      "div",
      { class: "columns sql-columns" },
      h(
        "div",
        {},
        h("form", { on: { submit: (event) => { event.preventDefault(); ask(); } } }, questions.element, h("label", { for: "sql" }, "Query"), editor, h("div", { class: "form-end" }, run, h("p", { class: "hint", id: "sql-hint" }, "Ctrl+Enter runs it. It can read the public views, and nothing else."))),
        answer,
      ),
      h("aside", { "aria-label": "Views" }, h("h2", {}, "Views"), schemaList(editor, signal)),
    ),
  );
  if (state.get("q")) ask();
  else offerNewest(editor, questions, signal);
  await questions.ready;
}

/** A query to begin with. @param {number} sweep */
function first(sweep) {
  return `SELECT rule, varied - 'rule.name' AS setting, n, test_accuracy_mean, test_accuracy_low, test_accuracy_high\nFROM v_group_stats\nWHERE sweep_id = ${sweep}\nORDER BY setting, rule`;
}

/** The sweep that was submitted last, unless something else was written meanwhile. */
async function offerNewest(editor, questions, signal) {
  const found = await askRows(NEWEST, { signal }).catch(() => []);
  if (signal.aborted || found.length === 0 || editor.value !== first(1)) return;
  editor.value = first(found[0].sweep);
  questions.follow();
}

async function show(place, sql, view, signal, pageSignal) {
  fill(place, loading(5, "Asking"));
  place.dataset.state = "asking";
  try {
    const [found] = await Promise.all([ask(sql, { signal }), view.questions.ready]);
    signal.throwIfAborted();
    showAnswer(place, found, sql, view, pageSignal);
    place.dataset.state = "answered";
  } catch (error) {
    if (signal.aborted) return;
    place.dataset.state = "refused";
    fill(place, error instanceof Problem && error.status === 422 ? refusal(error) : failure(error, () => show(place, sql, view, signal, pageSignal)));
  }
}

function refusal(error) {
  return h("div", { class: "problem", role: "alert" }, h("p", { class: "problem-title" }, "PostgreSQL refused the query"), h("pre", {}, error.detail ?? error.message));
}

function showAnswer(place, found, sql, { state, questions }, signal) {
  const { columns, rows, truncated, elapsed_seconds: seconds } = found;
  const keep = h("button", { type: "button", on: { click: () => download("answer.csv", csvOf(columns, rows)) } }, "CSV");
  const head = h(
    "div",
    { class: "controls bar-line" },
    h("p", { class: "answer-words" }, `${counted(rows.length, "row")} in ${number(seconds, 2)} s`, truncated && ", and there are more: narrow the question"),
    h("div", { class: "actions push" }, keep),
  );
  const tablePlace = h("div", {});
  const why = questions.noRows(sql);
  const draw = () => {
    const described = columns.map((name, i) => column(name, i, rows));
    const sort = state.get("order");
    fill(tablePlace, rows.length === 0 ? empty("No rows.", ...(why ? [`${why[0].toUpperCase()}${why.slice(1)}`] : [])) : dataTable({ caption: "Answer", columns: described, rows: sorted(rows, described, sort).slice(0, MOST_ROWS), sort, onSort: (value) => { state.set({ order: value }); draw(); } }), rows.length > MOST_ROWS && h("p", { class: "chart-note" }, `The first ${MOST_ROWS} rows are shown; the CSV has all ${rows.length}.`));
  };
  draw();
  fill(place, head, answerChart(found, sql, state, signal), tablePlace);
}

function column(label, i, rows) {
  const text = shown(rows.map((row) => row[i]));
  const value = (row) => (typeof row[i] === "object" && row[i] !== null ? JSON.stringify(row[i]) : row[i]);
  return { key: String(i), label, numeric: rows.every((row) => row[i] === null || typeof row[i] === "number"), cell: (row) => text(row[i]), value };
}
