/** Questions in SQL over the public views: asked, answered as a table and as a chart, kept as CSV, shared by address. */

import { ask, Disconnected, Problem } from "../api.js";
import { select } from "../components/fields.js";
import { empty, failure, loading } from "../components/states.js";
import { dataTable, sorted } from "../components/table.js";
import { csvOf, download } from "../data/csv.js";
import { fill, h } from "../dom.js";
import { counted, number, setting } from "../format.js";
import { ViewState } from "../state.js";
import { answerChart } from "./sql/chart.js";
import { schemaList } from "./sql/schema.js";

const FIRST = "SELECT rule, count(*) AS trials, avg(test_accuracy) AS test_accuracy, avg(gradient_alignment) AS gradient_alignment\nFROM v_trials\nWHERE state = 'succeeded'\nGROUP BY rule\nORDER BY rule";
const MOST_ROWS = 500;

/** @param {import("../router.js").Visit} visit */
export default async function sqlPage({ place, signal, title }) {
  title("SQL");
  const state = new ViewState({ q: "", sweep: "1" });
  const editor = h("textarea", { id: "sql", class: "editor code", rows: 9, spellcheck: false, value: state.get("q") || FIRST, "aria-describedby": "sql-hint" });
  const answer = h("div", { class: "answer", "aria-live": "polite" }, empty("Nothing was asked yet.", "Choose a question of the cookbook, or write your own and run it."));
  const run = h("button", { type: "submit", class: "primary" }, "Run");
  const running = { stop: new AbortController() };
  const ask = () => {
    running.stop.abort();
    running.stop = new AbortController();
    state.set({ q: editor.value.trim() }, { push: true });
    return show(answer, editor.value, state, AbortSignal.any([running.stop.signal, signal]), signal);
  };
  editor.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    ask();
  });
  const questions = h("div", {}, loading(3, "Loading questions"));
  const use = (sql) => {
    editor.value = sql;
    ask();
  };
  place.append(
    h("div", { class: "page-head" }, h("h1", {}, "SQL")),
    h(
      "div",
      { class: "columns sql-columns" },
      h(
        "div",
        {},
        h("form", { on: { submit: (event) => { event.preventDefault(); ask(); } } }, questions, h("label", { for: "sql" }, "Query"), editor, h("div", { class: "form-end" }, run, h("p", { class: "hint", id: "sql-hint" }, "Ctrl+Enter runs it. It can read the public views, and nothing else."))),
        answer,
      ),
      h("aside", { "aria-label": "Views" }, h("h2", {}, "Views"), schemaList(editor, signal)),
    ),
  );
  if (state.get("q")) ask();
  await offerQuestions(questions, state, use, signal);
}

async function offerQuestions(place, state, use, signal) {
  try {
    const questions = await (await fetch("/dashboard/questions.json", { signal })).json();
    const options = [{ value: "", label: "choose a question" }, ...questions.map(({ question }, i) => ({ value: String(i), label: question }))];
    const chosen = (value) => value !== "" && use(questions[Number(value)].sql.trim().replaceAll(/sweep_id = 1\b/g, `sweep_id = ${Number(state.get("sweep")) || 1}`));
    const sweep = h("input", { id: "question-sweep", type: "number", min: 1, value: state.get("sweep"), on: { change: (event) => state.set({ sweep: event.target.value }) } });
    fill(place, h("div", { class: "controls" }, select("Questions of the cookbook", options, "", chosen), h("div", { class: "field narrow" }, h("label", { for: "question-sweep" }, "of sweep"), sweep)));
  } catch (error) {
    if (!signal.aborted) fill(place, failure(error instanceof TypeError ? new Disconnected(true) : error, () => offerQuestions(place, state, use, signal)));
  }
}

async function show(place, sql, state, signal, pageSignal) {
  fill(place, loading(5, "Asking"));
  place.dataset.state = "asking";
  try {
    const found = await ask(sql, { signal });
    signal.throwIfAborted();
    showAnswer(place, found, sql, state, pageSignal);
    place.dataset.state = "answered";
  } catch (error) {
    if (signal.aborted) return;
    place.dataset.state = "refused";
    fill(place, error instanceof Problem && error.status === 422 ? refusal(error) : failure(error, () => show(place, sql, state, signal, pageSignal)));
  }
}

function refusal(error) {
  return h("div", { class: "problem", role: "alert" }, h("p", { class: "problem-title" }, "PostgreSQL refused the query"), h("pre", {}, error.detail ?? error.message));
}

function showAnswer(place, found, sql, state, signal) {
  const { columns, rows, truncated, elapsed_seconds: seconds } = found;
  const keep = h("button", { type: "button", on: { click: () => download("answer.csv", csvOf(columns, rows)) } }, "CSV");
  const head = h(
    "div",
    { class: "controls bar-line" },
    h("p", { class: "answer-words" }, `${counted(rows.length, "row")} in ${number(seconds, 2)} s`, truncated && ", and there are more: narrow the question"),
    h("div", { class: "actions push" }, keep),
  );
  const tablePlace = h("div", {});
  const draw = () => {
    const described = columns.map((name, i) => ({ key: String(i), label: name, numeric: rows.every((row) => row[i] === null || typeof row[i] === "number"), cell: (row) => (typeof row[i] === "number" ? number(row[i], 6) : setting(row[i])), value: (row) => row[i] }));
    const sort = state.get("order");
    fill(tablePlace, rows.length === 0 ? empty("No rows.") : dataTable({ caption: "Answer", columns: described, rows: sorted(rows, described, sort).slice(0, MOST_ROWS), sort, onSort: (value) => { state.set({ order: value }); draw(); } }), rows.length > MOST_ROWS && h("p", { class: "chart-note" }, `The first ${MOST_ROWS} rows are shown; the CSV has all ${rows.length}.`));
  };
  draw();
  fill(place, head, answerChart(found, sql, state, signal), tablePlace);
}
