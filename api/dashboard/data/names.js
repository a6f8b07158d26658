/** Lists of names as one value of an address: with bars between, those within names escaped. */

/** @param {string[]} names */
export function listed(names) {
  return names.map((name) => name.replaceAll("%", "%25").replaceAll("|", "%7C")).join("|");
}

/** @param {string} text @returns {string[]} */
export function unlisted(text) {
  return text.split("|").filter(Boolean).map((name) => name.replaceAll("%7C", "|").replaceAll("%25", "%"));
}
