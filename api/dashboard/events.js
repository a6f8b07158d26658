/**
 * The live stream of a sweep: read with fetch, so that a token can be sent, and asked for again with the last id, so
 * that a connection which breaks misses nothing.
 */

import { isAborted, pause, url } from "./api.js";
import { connection, isLost, reportLost } from "./connection.js";
import { Parser } from "./sse.js";
import { askForToken, authorised } from "./token.js";

const SILENCE_MILLISECONDS = 40000; // heartbeats come every 15 s

/**
 * Follow a sweep until it is over or the signal aborts.
 * @param {number} sweepId
 * @param {{onEvent?: (event: any) => void, onProgress?: (progress: any, over: boolean) => void,
 *   onState?: (state: "live" | "lost" | "over") => void}} listener
 * @param {AbortSignal} signal
 */
export async function follow(sweepId, listener, signal) {
  const parser = new Parser();
  let wait = 1000;
  while (!signal.aborted) {
    try {
      const over = await readOnce(sweepId, parser, listener, signal, () => {
        wait = 1000;
        listener.onState?.("live");
      });
      if (over) {
        listener.onState?.("over");
        return;
      }
    } catch (error) {
      if (isAborted(error) && signal.aborted) return;
      listener.onState?.("lost");
      if (error instanceof TypeError) reportLost();
    }
    parser.rest = "";
    await patience(wait, signal).catch(() => {});
    wait = Math.min(wait * 2, 15000);
  }
}

/** Wait a while; while the server is away, until it is back. */
async function patience(milliseconds, signal) {
  await pause(milliseconds, signal);
  if (isLost()) {
    await new Promise((resolve) => {
      connection.addEventListener("restored", resolve, { once: true });
      signal.addEventListener("abort", resolve, { once: true });
    });
  }
}

/** Read a connection to its end. Returns whether the sweep is over. */
async function readOnce(sweepId, parser, listener, signal, onOpen) {
  const silent = new AbortController();
  const stop = () => silent.abort();
  signal.addEventListener("abort", stop);
  let timer = setTimeout(stop, SILENCE_MILLISECONDS);
  try {
    const headers = parser.lastId === null ? {} : { "Last-Event-ID": parser.lastId };
    const answer = await fetch(url(`/sweeps/${sweepId}/events/stream`), {
      headers: authorised({ Accept: "text/event-stream", ...headers }),
      cache: "no-store",
      signal: silent.signal,
    });
    if (answer.status === 401) await askForToken();
    if (answer.status === 404) return true;
    if (!answer.ok) throw new Error(`the stream answered ${answer.status}`);
    onOpen();
    const decoder = new TextDecoder();
    const reader = answer.body.getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return false;
      clearTimeout(timer);
      timer = setTimeout(stop, SILENCE_MILLISECONDS);
      for (const sent of parser.push(decoder.decode(value, { stream: true }))) {
        const data = JSON.parse(sent.data);
        if (sent.kind === "event") listener.onEvent?.(data);
        else listener.onProgress?.(data, sent.kind === "end");
        if (sent.kind === "end") return true;
      }
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}
