/** Reading again and again: while the page is seen, sooner where something is likely to have changed, at once when the server is back. */

import { seen } from "../attention.js";
import { back, connection } from "../connection.js";

const AFTER_A_MISTAKE_MILLISECONDS = 5000;

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
  connection.addEventListener("restored", now, { signal });
  signal.addEventListener("abort", () => wake(), { once: true });
  const rest = (milliseconds) =>
    new Promise((resolve) => {
      const timer = milliseconds === null ? 0 : setTimeout(resolve, milliseconds);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  const run = async () => {
    while (!signal.aborted) {
      asked = false;
      const wait = await read(signal).catch((error) => {
        if (!signal.aborted) console.error(error);
        return AFTER_A_MISTAKE_MILLISECONDS;
      });
      if (!asked && !signal.aborted) await rest(wait);
      await seen(signal);
      await back(signal);
    }
  };
  run();
  return now;
}
