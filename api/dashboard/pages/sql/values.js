/** Values of an answer: as numbers, and as they are shown. */

import { shortName } from "../../data/axes.js";
import { plain, setting } from "../../format.js";

/** A number, also where it is written as text; null where it is none. @param {any} value @returns {number | null} */
export function numberOf(value) {
  if (typeof value === "number") return value;
  return typeof value === "string" && value.trim() !== "" && Number.isFinite(Number(value)) ? Number(value) : null;
}

/** How the values of a column are shown; of objects their short names, as those of axes. @param {any[]} values @returns {(value: any) => string} */
export function shown(values) {
  const names = [...new Set(values.filter(isObject).flatMap((value) => Object.keys(value)))].map((name) => ({ name }));
  return (value) => {
    if (!isObject(value)) return plain(value);
    return Object.entries(value).map(([name, own]) => `${shortName(name, names)} ${setting(own)}`).join(", ") || "–";
  };
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
