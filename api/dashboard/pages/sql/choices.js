/** Which columns of an answer are drawn as what, unless the reader says otherwise. What stands still is no axis. */

import { numberOf } from "./values.js";

const COUNT = /^(n|seed|trials|pairs|diverged|reached|passed|position|configurations|layers_of_trials|.*_id)$/;
const SPREAD = /(^|_)(low|high|sd|half_width)$/;
const OUTCOME = /accuracy|alignment|loss|error|mean|gap/;

/**
 * @typedef {{name: string, numeric: boolean, varies: boolean}} Column `numeric`: numbers, or their texts, and nulls
 * @typedef {{value: string, label: string, of: (row: any[], y: number) => [number, number]}} Bars how far down and up
 */

/** @param {string[]} names @param {any[][]} rows @returns {Column[]} */
export function columnsOf(names, rows) {
  return names.map((name, i) => {
    const values = rows.map((row) => row[i]).filter((value) => value !== null);
    const numeric = values.length > 0 && values.every((value) => numberOf(value) !== null);
    return { name, numeric, varies: new Set(values.map((value) => JSON.stringify(value))).size > 1 };
  });
}

/** The axes, and the columns that tell series apart. @param {Column[]} columns @param {{x: string, y: string, by: string}} wanted "" for what fits */
export function axesOf(columns, wanted) {
  const named = (name, among) => among.find((column) => column.name === name);
  const numeric = columns.filter((column) => column.numeric);
  const y = named(wanted.y, numeric) ?? outcome(columns);
  const settings = settingsOf(columns, y);
  const x = named(wanted.x, columns) ?? across(columns, settings, y);
  const apart = settings.filter((column) => column !== x && column !== y);
  const by = wanted.by === "none" ? [] : named(wanted.by, columns) ? [named(wanted.by, columns)] : apart;
  return { x: x.name, y: y.name, by: by.map(({ name }) => name), apart: apart.map(({ name }) => name) };
}

/** What was measured: what has a spread; what is called so; the last number. */
function outcome(columns) {
  const varied = columns.filter((column) => column.numeric && column.varies && !SPREAD.test(column.name) && !COUNT.test(column.name));
  const spread = varied.find(({ name }) => barsOf(columns.map((column) => column.name), name).length > 0);
  return spread ?? varied.find(({ name }) => OUTCOME.test(name)) ?? varied.at(-1) ?? columns.find((column) => column.numeric);
}

/** What stands before the counts and before what was measured: values of configurations, steps, layers. */
function settingsOf(columns, y) {
  const end = columns.findIndex((column) => column === y || (column.numeric && COUNT.test(column.name)));
  return columns.slice(0, end).filter(({ varies }) => varies);
}

function across(columns, settings, y) {
  const words = settings.filter((column) => !column.numeric);
  const others = columns.filter((column) => column.varies && column !== y && !SPREAD.test(column.name));
  return settings.find(({ name }) => name === "step") ?? settings.find((column) => column.numeric) ?? words.at(-1) ?? others.find((column) => column.numeric) ?? others[0] ?? columns.find((column) => column !== y) ?? y;
}

/** Error bars that there are of a column: by the names of others, or of those right behind it. @param {string[]} names @param {string} y @returns {Bars[]} */
export function barsOf(names, y) {
  const at = names.indexOf(y);
  const stem = y.replace(/_mean$/, "");
  const find = (kind, behind) => (names.includes(`${stem}_${kind}`) ? names.indexOf(`${stem}_${kind}`) : names[at + behind] === kind ? at + behind : -1);
  const [low, high] = [find("low", 1), find("high", 2)];
  const found = [];
  if (low >= 0 && high >= 0) found.push({ value: "interval", label: `${names[low]} to ${names[high]}`, of: (row) => [row[at] - row[low], row[high] - row[at]] });
  for (const kind of ["half_width", "sd"]) {
    const i = find(kind, 1);
    if (i >= 0) found.push({ value: kind, label: `± ${names[i]}`, of: (row) => [row[i], row[i]] });
  }
  return found;
}
