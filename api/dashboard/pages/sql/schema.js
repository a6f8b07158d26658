/** The public views with their columns and what these mean: chosen, a name goes into the query. */

import { askRows } from "../../api.js";
import { failure, loading } from "../../components/states.js";
import { fill, h } from "../../dom.js";

const COLUMNS = `SELECT columns.table_name, columns.column_name, columns.data_type,
    col_description(columns.table_name::regclass, columns.ordinal_position) AS meaning
FROM information_schema.columns
WHERE columns.table_schema = 'public'
ORDER BY columns.table_name, columns.ordinal_position`;

/** @param {HTMLTextAreaElement} editor @param {AbortSignal} signal */
export function schemaList(editor, signal) {
  const place = h("div", { class: "schema" }, loading(8, "Loading views"));
  const load = () =>
    askRows(COLUMNS, { signal }).then(
      (rows) => fill(place, list(rows, editor)),
      (error) => signal.aborted || fill(place, failure(error, load)),
    );
  load();
  return place;
}

function list(rows, editor) {
  const views = new Map();
  for (const row of rows) views.set(row.table_name, [...(views.get(row.table_name) ?? []), row]);
  return [...views].map(([name, columns]) =>
    h("details", {}, h("summary", {}, h("code", {}, name)), h("ul", {}, columns.map((column) => h("li", {}, inserter(column.column_name, column.meaning ?? column.data_type, editor))))),
  );
}

function inserter(name, meaning, editor) {
  const insert = () => {
    editor.setRangeText(name, editor.selectionStart, editor.selectionEnd, "end");
    editor.focus();
  };
  return h("button", { type: "button", class: "quiet", title: meaning, on: { click: insert } }, name);
}
