/** The axes of a sweep, and which of its groups are meant: chosen by value, told apart, named. */

import { setting } from "../format.js";

/** @typedef {{name: string, values: any[], ordered: boolean}} Axis `ordered`: its values are numbers, and sorted */

/** Axes on which the groups differ. @param {{varied: Record<string, any>}[]} groups @returns {Axis[]} */
export function axesOf(groups) {
  const found = new Map();
  for (const { varied } of groups) {
    for (const [name, value] of Object.entries(varied)) {
      if (!found.has(name)) found.set(name, new Map());
      found.get(name).set(JSON.stringify(value), value);
    }
  }
  // A group that lacks an axis (of a branch) has there the value of the base.
  return [...found]
    .map(([name, values]) => axis(name, [...values.values()]))
    .filter(({ values, name }) => values.length > 1 || groups.some(({ varied }) => !(name in varied)));
}

function axis(name, values) {
  const ordered = values.every((value) => typeof value === "number");
  return { name, values: ordered ? values.sort((a, b) => a - b) : values, ordered };
}

/** The short name of an axis: its last word, where that tells it apart. @param {string} name @param {Axis[]} axes */
export function shortName(name, axes) {
  const last = name.split(".").at(-1);
  const lasts = axes.filter((other) => other.name.split(".").at(-1) === last);
  if (lasts.length > 1 || last === "name" || last === "kind") return name.replace(/\.name$/, "");
  return last;
}

/** Groups on which the chosen values hold. @template {{varied: Record<string, any>}} T @param {T[]} groups @param {Record<string, string>} where values as JSON @returns {T[]} */
export function chosen(groups, where) {
  const wanted = Object.entries(where).filter(([, value]) => value !== "");
  return groups.filter(({ varied }) => wanted.every(([name, value]) => JSON.stringify(varied[name] ?? null) === value));
}

/** What a group is called: its values on the axes. @param {Record<string, any>} varied @param {Axis[]} axes */
export function nameOf(varied, axes) {
  const parts = axes.filter(({ name }) => name in varied).map(({ name }) => valueName(name, varied[name], axes));
  return parts.join(", ") || "all";
}

/** A value with its axis, where the value alone would not tell. @param {string} name @param {any} value @param {Axis[]} axes */
export function valueName(name, value, axes) {
  const plain = typeof value === "string" && axes.length <= 3;
  return plain ? value : `${shortName(name, axes)} ${setting(value)}`;
}

/** Dotted paths of all axes that a spec names. @param {{spec: any}} sweep */
export function axisNames({ spec }) {
  const parts = [spec, spec.random ?? {}, ...(spec.when ?? [])];
  return [...new Set(parts.flatMap(({ grid, zip, space }) => [grid, zip, space].flatMap((names) => Object.keys(names ?? {}))))];
}
