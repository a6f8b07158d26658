/** What is kept for this tab: in its storage, or for as long as the page is open where that is forbidden. */

/** @type {Map<string, string>} */
const own = new Map();

/** @param {string} key @returns {string | null} */
export function kept(key) {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return own.get(key) ?? null;
  }
}

/** @param {string} key @param {string | null} value null for nothing */
export function keep(key, value) {
  try {
    if (value === null) sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, value);
  } catch {
    if (value === null) own.delete(key);
    else own.set(key, value);
  }
}
