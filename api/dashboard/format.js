/** Numbers, times and values as they are shown. */

const WHOLE = new Intl.NumberFormat("en");

/** @param {number | null | undefined} value never as -0 */
export function whole(value) {
  return value === null || value === undefined ? "–" : WHOLE.format(Math.round(value) + 0);
}

/** A measured number, to so many significant digits. @param {any} value @param {number} [digits] */
export function number(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (typeof value !== "number") return String(value);
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e7) return WHOLE.format(value);
  return size < 1e-3 || size >= 1e6 ? Number(value.toPrecision(digits - 1)).toExponential() : String(Number(value.toPrecision(digits)));
}

/** A measured number of a column, so that points stand below each other where sizes permit. @param {number | null | undefined} value */
export function measured(value) {
  const size = Math.abs(value ?? 0);
  return typeof value === "number" && size >= 1e-3 && size < 1e3 ? value.toFixed(4) : number(value);
}

/** Mean and standard deviation: digits by the deviation, unless `places` says how many. @param {number | null} mean @param {number | null} sd @param {number | null} [places] */
export function spread(mean, sd, places = null) {
  if (mean === null || mean === undefined) return "–";
  if (sd === null || sd === undefined) return places === null || (mean !== 0 && Math.abs(mean) < 1e-3) ? number(mean) : fixed(mean, places);
  const size = Math.max(Math.abs(mean), Math.abs(sd));
  if (size > 0 && (size < 1e-3 || size >= 1e5)) return `${mean.toExponential(2)} ± ${sd.toExponential(1)}`;
  const shown = places ?? placesOf(sd);
  return `${fixed(mean, shown)} ± ${fixed(sd, shown)}`;
}

/** So many decimal places; nothing is below zero by less than they show. @param {number} value @param {number} places */
function fixed(value, places) {
  const text = value.toFixed(places);
  return Number(text) === 0 ? text.replace("-", "") : text;
}

/** A value of a table that is asked for as it is: integers whole and plain, as they are names as often as counts. @param {any} value */
export function plain(value) {
  if (Number.isInteger(value)) return String(value);
  return typeof value === "number" ? number(value, 6) : setting(value);
}

/** Decimal places with which a deviation has two digits. @param {number} sd */
function placesOf(sd) {
  return Math.min(6, Math.max(0, sd > 0 ? 1 - Math.floor(Math.log10(sd)) : 3));
}

/** Decimal places for a column, so that its numbers stand below each other: those of its median deviation, 4 where there is none. @param {(number | null | undefined)[]} sds */
export function columnPlaces(sds) {
  const defined = sds.filter((sd) => sd !== null && sd !== undefined && sd > 0).sort((a, b) => a - b);
  return defined.length === 0 ? 4 : Math.min(4, Math.max(2, placesOf(defined[Math.floor(defined.length / 2)])));
}

/** A rate per second. @param {number} value */
export function rate(value) {
  const shown = Number(value.toPrecision(3));
  if (shown < 1e4) return whole(value);
  const [unit, length] = [["G", 1e9], ["M", 1e6], ["k", 1e3]].find(([, own]) => shown >= own);
  return `${shown >= 1e12 ? shown / length : (shown / length).toPrecision(3)} ${unit}`;
}

/** @param {number} bytes */
export function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const shown = Number(bytes.toPrecision(3));
  const step = shown < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(shown) / 3));
  return `${Number((shown / 1000 ** step).toPrecision(3))} ${units[step]}`;
}

/** A length of time, in its two largest units. @param {number} seconds */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 1) return "less than 1 s";
  const parts = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  let left = Math.round(seconds);
  const first = parts.findIndex(([, length]) => left >= length);
  const shown = [];
  for (const [unit, length] of parts.slice(first, first + 2)) {
    const count = Math.floor(left / length);
    left -= count * length;
    if (count > 0) shown.push(`${count} ${unit}`);
  }
  return shown.join(" ");
}

/** How long ago. @param {string | null} iso */
export function age(iso) {
  if (iso === null) return "–";
  const seconds = (Date.now() - Date.parse(iso)) / 1000;
  return seconds < 5 ? "just now" : `${duration(seconds).split(" ").slice(0, 2).join(" ")} ago`;
}

/** A point of time, in the reader's zone. @param {string | null} iso */
export function moment(iso) {
  if (iso === null || iso === undefined) return "–";
  const time = new Date(iso);
  const day = time.toLocaleDateString("en-CA");
  return `${day} ${time.toLocaleTimeString("en-GB")}`;
}

/** A value of a configuration. @param {any} value */
export function setting(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "object") return JSON.stringify(value).replaceAll(",", ", ");
  return typeof value === "number" ? number(value, 6) : String(value);
}

/** A count with its noun. @param {number} count @param {string} noun @param {string} [plural] */
export function counted(count, noun, plural = `${noun}s`) {
  return `${whole(count)} ${count === 1 ? noun : plural}`;
}

/** What an event tells beside its kind: names and values. @param {Record<string, any> | null} detail */
export function told(detail) {
  const known = Object.entries(detail ?? {}).filter(([, value]) => value !== null && !(Array.isArray(value) && value.length === 0));
  return known.map(([name, value]) => `${name.replaceAll("_", " ")} ${setting(value)}`).join(" · ");
}
