/** The trials of a sweep that have succeeded: read page by page, the last to end first; later those that are new. */

import { page as readPage } from "../api.js";

const LIMIT = 1000;
export const MOST_TRIALS = 10000;

export class Succeeded {
  /** @param {number} sweepId @param {string[]} fields */
  constructor(sweepId, fields) {
    this.sweepId = sweepId;
    this.fields = [...new Set(["id", ...fields])].join(",");
    /** By id. @type {Map<number, any>} */
    this.found = new Map();
    this.whole = false;
  }

  /** @returns {any[]} in order of their ids */
  get trials() {
    return [...this.found.values()].sort((a, b) => a.id - b.id);
  }

  /** Read what is not known yet. `onPage` is called when some was. @param {AbortSignal} signal @param {() => void} onPage */
  async read(signal, onPage) {
    let cursor = null;
    do {
      const query = { state: "succeeded", fields: this.fields, sort: "-finished_at", limit: LIMIT, cursor };
      const { items, next_cursor: following } = await readPage(`/sweeps/${this.sweepId}/trials`, query, signal);
      const fresh = items.filter(({ id }) => !this.found.has(id));
      for (const trial of fresh) this.found.set(trial.id, trial);
      if (fresh.length > 0) onPage();
      const known = this.whole && fresh.length < items.length;
      cursor = known || this.found.size >= MOST_TRIALS ? null : following;
    } while (cursor !== null);
    this.whole = true;
  }
}
