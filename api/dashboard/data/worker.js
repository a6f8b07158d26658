/** Parses and folds what may be large, off the thread that paints. Answers `null` where nothing has changed. */

import { fold } from "./fold.js";

/** What was last read, by its key: a hash of its bytes. @type {Map<string, number>} */
const seen = new Map();

self.addEventListener("message", ({ data: { id, key, bytes, kind } }) => {
  try {
    const hash = hashOf(new Uint8Array(bytes));
    if (seen.get(key) === hash) {
      self.postMessage({ id, value: null });
      return;
    }
    seen.set(key, hash);
    const parsed = JSON.parse(new TextDecoder().decode(bytes));
    self.postMessage({ id, value: kind === "curves" ? fold(parsed) : parsed });
  } catch (error) {
    self.postMessage({ id, error: String(error) });
  }
});

/** FNV-1a, and the length. @param {Uint8Array} bytes */
function hashOf(bytes) {
  let hash = 0x811c9dc5 ^ bytes.length;
  for (let i = 0; i < bytes.length; i += 1) hash = Math.imul(hash ^ bytes[i], 0x01000193);
  return hash >>> 0;
}
