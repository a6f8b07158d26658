/** What is selected on the axes of parallel coordinates, as text of an address and of the API's filter language. */

import { listed, unlisted } from "../data/names.js";
import { extent } from "../data/numbers.js";

/**
 * @typedef {{from: number | null, to: number | null} | {words: string[]}} Brush
 * @typedef {{name: string, label: string, kind: "number" | "words", log: boolean, low: number, high: number, words: string[]}} Scale
 */

/** An axis for these values: numbers on a line, logarithmic where they span two decades; anything else as words. @param {string} name @param {string} label @param {any[]} values @returns {Scale} */
export function scaleOf(name, label, values) {
  const defined = values.filter((value) => value !== null && value !== undefined);
  if (defined.length > 0 && defined.every((value) => typeof value === "number")) {
    const [low, high] = extent(defined);
    const log = low > 0 && high / low >= 100;
    return { name, label, kind: "number", log, low, high, words: [] };
  }
  return { name, label, kind: "words", log: false, low: 0, high: 0, words: [...new Set(defined.map(wordOf))] };
}

/** @param {any} value */
export function wordOf(value) {
  return typeof value === "object" ? JSON.stringify(value).replaceAll(",", ", ") : String(value);
}

/** Where a value stands on its axis, 0 at the bottom; null for none. @param {Scale} scale @param {any} value */
export function heightOf(scale, value) {
  if (value === null || value === undefined) return null;
  if (scale.kind === "words") return scale.words.length < 2 ? 0.5 : scale.words.indexOf(wordOf(value)) / (scale.words.length - 1);
  if (scale.high === scale.low) return 0.5;
  const place = scale.log ? Math.log : (number) => number;
  return (place(value) - place(scale.low)) / (place(scale.high) - place(scale.low));
}

/** The value at a height. @param {Scale} scale @param {number} height */
export function valueAt(scale, height) {
  const share = Math.min(1, Math.max(0, height));
  if (scale.log) return scale.low * (scale.high / scale.low) ** share;
  return scale.low + share * (scale.high - scale.low);
}

/** Whether a value is selected. @param {Brush | undefined} brush @param {any} value */
export function admits(brush, value) {
  if (brush === undefined) return true;
  if (value === null || value === undefined) return false;
  if ("words" in brush) return brush.words.includes(wordOf(value));
  return (brush.from === null || value >= brush.from) && (brush.to === null || value <= brush.to);
}

/** As it stands in the address. @param {Brush} brush */
export function written(brush) {
  return "words" in brush ? listed(brush.words) : `${brush.from ?? ""}..${brush.to ?? ""}`;
}

/** @param {Scale} scale @param {string} text @returns {Brush | undefined} */
export function read(scale, text) {
  if (!text) return undefined;
  if (scale.kind === "words") return { words: unlisted(text) };
  const [from, to] = text.split("..").map((part) => (part === "" || part === undefined ? null : Number(part)));
  return { from: from ?? null, to: to ?? null };
}

/** What is selected, in the language of the API's lists. @param {Record<string, Brush>} brushes */
export function filterText(brushes) {
  return Object.entries(brushes)
    .flatMap(([name, brush]) => {
      if ("words" in brush) return brush.words.length === 1 ? [`${name} = ${word(brush.words[0])}`] : [`${name} in (${brush.words.map(word).join(", ")})`];
      return [brush.from !== null && `${name} >= ${brush.from}`, brush.to !== null && `${name} <= ${brush.to}`].filter(Boolean);
    })
    .join(" and ");
}

/** A value, in quotes where it needs them. @param {string} text */
export function word(text) {
  return /^[A-Za-z0-9_.-]+$/.test(text) && !/^(and|or|not|in|is|null)$/i.test(text) ? text : `"${text.replaceAll('"', '""')}"`;
}
