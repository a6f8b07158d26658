/** Reading again and again: while the page is seen, sooner where something is likely to have changed, at once when the server is back. */

import { isAborted } from "../api.js";
import { connection } from "../connection.js";

/**
 * Call `read` until the signal aborts. It returns after how many ms to read again, null for when somebody asks.
 * @param {(signal: AbortSignal) => Promise<number | null>} read @param {AbortSignal} signal
 * @returns {() => void} read now
 */
export function poll(read, signal) {
  let wake = () => {};
  let asked = false;
  const now = () => {
    asked = true;
    wake();
  };
  const restored = () => now();
  connection.addEventListener("restored", restored, { signal });
  document.addEventListener("visibilitychange", () => document.hidden || now(), { signal });
  signal.addEventListener("abort", () => wake(), { once: true });
  const run = async () => {
    while (!signal.aborted) {
      asked = false;
      let wait = null;
      try {
        wait = await read(signal);
      } catch (error) {
        if (signal.aborted || isAborted(error)) return;
        console.error(error);
        wait = 5000;
      }
      if (asked) continue;
      await new Promise((resolve) => {
        const timer = wait !== null && !document.hidden ? setTimeout(resolve, wait) : 0;
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  };
  run();
  return now;
}
