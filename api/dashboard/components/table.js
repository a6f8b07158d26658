/** Tables of data: sorted by their headings, scrolled within their own box, numbers to the right. */

import { h } from "../dom.js";

/**
 * @typedef {{key: string, label: string, numeric?: boolean, sort?: string, cell: (row: any) => import("../dom.js").Child,
 *   value?: (row: any) => any, spare?: boolean}} Column `sort`: the name under which a server sorts; `value`: what is
 *   compared here; `spare`: left out on a phone
 */

/**
 * @param {{caption: string, columns: Column[], rows: any[], sort?: string, onSort?: (sort: string) => void,
 *   rowProps?: (row: any) => Record<string, any>}} options `sort`: a key, with `-` before it for the greatest first
 */
export function dataTable({ caption, columns, rows, sort = "", onSort, rowProps }) {
  const head = h("tr", {}, columns.map((column) => heading(column, sort, onSort)));
  const body = h("tbody", {}, rows.map((row) => tableRow(columns, row, rowProps)));
  const table = h("table", {}, h("caption", { class: "unseen" }, caption), h("thead", {}, head), body);
  return h("div", { class: "table-box", tabIndex: 0, role: "region", "aria-label": caption }, table);
}

function tableRow(columns, row, rowProps) {
  const cells = columns.map((column) => h("td", { class: classOf(column) }, column.cell(row)));
  return h("tr", rowProps?.(row) ?? {}, cells);
}

function classOf({ numeric, spare }) {
  return [numeric && "numeric", spare && "spare"].filter(Boolean).join(" ") || null;
}

function heading(column, sort, onSort) {
  const own = sort.replace(/^-/, "") === column.key;
  const downwards = own && sort.startsWith("-");
  const props = { scope: "col", class: classOf(column), "aria-sort": own ? (downwards ? "descending" : "ascending") : null };
  if (onSort === undefined || (column.sort === undefined && column.value === undefined)) return h("th", props, column.label);
  const next = own && !downwards ? `-${column.key}` : column.key;
  const mark = own ? (downwards ? " ↓" : " ↑") : "";
  return h("th", props, h("button", { type: "button", class: "sorter", on: { click: () => onSort(next) } }, column.label, mark));
}

/** Rows in the order of a column; what is undefined comes last. @param {any[]} rows @param {Column[]} columns @param {string} sort */
export function sorted(rows, columns, sort) {
  const column = columns.find(({ key }) => key === sort.replace(/^-/, ""));
  if (column?.value === undefined) return rows;
  const sign = sort.startsWith("-") ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [x, y] = [column.value(a), column.value(b)];
    if (x === null || x === undefined) return y === null || y === undefined ? 0 : 1;
    if (y === null || y === undefined) return -1;
    return x < y ? -sign : x > y ? sign : 0;
  });
}
