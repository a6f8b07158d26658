/** Whether anybody looks at the page: what nobody sees is neither read nor listened to. */

/** Wait until the page is seen, or the signal aborts. @param {AbortSignal} signal @returns {Promise<void>} */
export function seen(signal) {
  return new Promise((resolve) => {
    const look = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      signal.removeEventListener("abort", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look);
    look();
  });
}
