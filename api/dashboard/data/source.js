/** Answers that may be large: read by `request`, parsed in a worker. */

import { request } from "../api.js";

let worker = null;
let count = 0;
/** @type {Map<number, {resolve: (value: any) => void, reject: (error: Error) => void}>} */
const pending = new Map();

function theWorker() {
  if (worker !== null) return worker;
  worker = new Worker("/dashboard/data/worker.js", { type: "module" });
  worker.addEventListener("message", ({ data: { id, value, error } }) => {
    const { resolve, reject } = pending.get(id);
    pending.delete(id);
    if (error === undefined) resolve(value);
    else reject(new Error(error));
  });
  return worker;
}

/** One resource that is read again and again. `kind`: `curves` are folded, `plain` is only parsed. */
export class Source {
  /** @param {string} path @param {Record<string, any>} query @param {"curves" | "plain"} kind */
  constructor(path, query, kind) {
    this.path = path;
    this.query = query;
    this.kind = kind;
    count += 1;
    this.key = `${count}`;
    /** How long the last reading took, in ms. */
    this.took = 0;
  }

  /** What there is now, or null where nothing has changed since. @param {AbortSignal} signal @returns {Promise<any>} */
  async read(signal) {
    const begun = performance.now();
    const answer = await request(this.path, { query: this.query, signal });
    const bytes = await answer.arrayBuffer();
    count += 1;
    const id = count;
    const value = await new Promise((resolve, reject) => {
      pending.set(id, { resolve, reject });
      theWorker().postMessage({ id, key: this.key, bytes, kind: this.kind }, [bytes]);
    });
    signal.throwIfAborted();
    this.took = performance.now() - begun;
    return value;
  }
}
