/** The axes of a sweep, and which of its groups are meant: chosen by value, told apart, named. */

import { json } from "../api.js";
import { setting } from "../format.js";

/**
 * @typedef {{name: string, count: number, values: any[], ordered: boolean, follows: boolean}} Axis `values`: none
 *   where there are very many; `ordered`: they are numbers; `follows`: an axis before it tells its value
 */

/** The axes on which the groups of a sweep differ, and how many groups it has. @param {number} id @param {AbortSignal} signal @returns {Promise<{axes: Axis[], groups: number}>} */
export async function readAxes(id, signal) {
  const { items, groups } = await json(`/sweeps/${id}/axes`, { signal });
  return { axes: items.map(({ name, count, values }) => ({ name, count, values: values ?? [], ordered: isOrdered(values ?? []), follows: false })), groups };
}

/** Axes with `follows` where they are zipped with an earlier one, which tells their values. @param {Axis[]} axes @param {any} spec @returns {Axis[]} */
export function zipped(axes, spec) {
  const parts = [spec, ...(spec.when ?? [])];
  const named = partsOf(spec).flatMap((part) => Object.keys(part));
  const found = new Set();
  for (const { zip } of parts) {
    const [first, ...others] = Object.entries(zip ?? {});
    for (const [name, values] of others) {
      if (tells(first[1], values) && named.indexOf(name) === named.lastIndexOf(name)) found.add(name);
    }
  }
  return axes.map((axis) => ({ ...axis, follows: found.has(axis.name) }));
}

/** Whether equal values of the one list stand beside equal values of the other. @param {any[]} list @param {any[]} other */
function tells(list, other) {
  const pairs = list.map((value, i) => JSON.stringify([value, other[i]]));
  return new Set(pairs).size === new Set(list.map((value) => JSON.stringify(value))).size;
}

/** Axes of several sweeps: those on which their groups, taken together, differ. @param {Axis[][]} sweeps @returns {Axis[]} */
export function sharedAxes(sweeps) {
  const names = [...new Set(sweeps.flatMap((axes) => axes.map(({ name }) => name)))];
  return names.map((name) => {
    const values = sweeps.flatMap((axes) => axes.find((axis) => axis.name === name)?.values ?? []);
    const apart = [...new Map(values.map((value) => [JSON.stringify(value), value])).values()];
    const ordered = isOrdered(apart);
    const follows = sweeps.every((axes) => axes.find((axis) => axis.name === name)?.follows ?? true);
    return { name, count: apart.length, values: ordered ? apart.sort((a, b) => a - b) : apart, ordered, follows };
  });
}

function isOrdered(values) {
  return values.every((value) => typeof value === "number");
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

/** What a group is called: its values on the axes, but for nulls, and for numbers that follow from another axis. @param {Record<string, any>} varied @param {Axis[]} axes */
export function nameOf(varied, axes) {
  const telling = axes.filter(({ follows, values }) => !follows || values.some((value) => typeof value === "string"));
  const parts = telling.filter(({ name }) => (varied[name] ?? null) !== null).map(({ name }) => valueName(name, varied[name], axes));
  return parts.join(", ") || "all";
}

/** A value, with its axis where it alone would not tell. @param {string} name @param {any} value @param {Axis[]} axes */
export function valueName(name, value, axes) {
  const plain = typeof value === "string" && !axes.some((other) => other.name !== name && other.values.includes(value));
  return plain ? value : `${shortName(name, axes)} ${setting(value)}`;
}

/** Dotted paths of all axes that a spec names. @param {{spec: any}} sweep */
export function axisNames({ spec }) {
  return [...new Set(partsOf(spec).flatMap((part) => Object.keys(part)))];
}

/** All that says what varies: values by name. */
function partsOf(spec) {
  return [spec, spec.random ?? {}, ...(spec.when ?? [])].flatMap(({ grid, zip, space }) => [grid ?? {}, zip ?? {}, space ?? {}]);
}
