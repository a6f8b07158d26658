/** A spec as YAML: blocks for objects, one line for lists and for short objects of plain values. */

const SHORT = 96;

/** @param {any} value @param {string} [indent] @returns {string} */
export function yamlOf(value, indent = "") {
  return Object.entries(value)
    .map(([name, inner]) => entry(name, inner, indent))
    .join("");
}

function entry(name, value, indent) {
  const key = plain(name);
  const flow = flowOf(value);
  const isBlock = value !== null && typeof value === "object" && Object.keys(value).length > 0;
  if (!isBlock || Array.isArray(value) || flow.length + key.length + indent.length < SHORT / 2) return `${indent}${key}: ${flow}\n`;
  return `${indent}${key}:\n${yamlOf(value, `${indent}  `)}`;
}

function flowOf(value) {
  if (Array.isArray(value)) return `[${value.map(flowOf).join(", ")}]`;
  if (value !== null && typeof value === "object") {
    return `{${Object.entries(value).map(([name, inner]) => `${plain(name)}: ${flowOf(inner)}`).join(", ")}}`;
  }
  return typeof value === "string" ? plain(value) : JSON.stringify(value);
}

/** Words stand bare; whatever YAML could read as something else stands in quotes. */
function plain(text) {
  return /^[A-Za-z][A-Za-z0-9_.-]*$/.test(text) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(text) ? text : JSON.stringify(text);
}

/** What differs from the defaults. @param {any} value @param {any} defaults */
export function pruned(value, defaults) {
  const kept = {};
  for (const [name, inner] of Object.entries(value)) {
    const own = defaults?.[name];
    if (JSON.stringify(inner) === JSON.stringify(own)) continue;
    const nested = inner !== null && own !== null && typeof inner === "object" && typeof own === "object" && !Array.isArray(inner) && Object.keys(own ?? {}).length > 0;
    const left = nested ? pruned(inner, own) : inner;
    if (!nested || Object.keys(left).length > 0) kept[name] = left;
  }
  return kept;
}
