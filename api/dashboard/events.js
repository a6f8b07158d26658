/**
 * The live stream of a sweep: read with fetch, so that a token can be sent, and asked for again with the last id, so
 * that a connection which breaks misses nothing. Pages that are not seen do not listen; they catch up when they are.
 */

import { pause, url } from "./api.js";
import { seen } from "./attention.js";
import { back, isGateways, isThere } from "./connection.js";
import { Parser } from "./sse.js";
import { hold, mayHold } from "./streams.js";
import { askForToken, authorised, token } from "./token.js";

const OPENING_MILLISECONDS = 15000;
const SILENCE_MILLISECONDS = 35000; // heartbeats come every 15 s
const UNSEEN_MILLISECONDS = 5000;
const LOOK_IN_MILLISECONDS = 5000;
const FIRST_MILLISECONDS = 500;
const LONGEST_MILLISECONDS = 15000;

/** States in which nothing is missed. */
export const LISTENS = ["live", "now and then"];

/**
 * @typedef {{onEvent?: (event: any) => void, onProgress?: (progress: any, over: boolean) => void,
 *   onState?: (state: "live" | "now and then" | "lost" | "over") => void}} Listener states are told when they change
 */

/**
 * Follow a sweep until it is over or the signal aborts.
 * @param {number} sweepId @param {Listener} told @param {AbortSignal} signal
 */
export async function follow(sweepId, told, signal) {
  let state = null;
  const onState = (now) => {
    if (now === state) return;
    state = now;
    told.onState?.(now);
  };
  const listener = { ...told, onState };
  const parser = new Parser();
  let wait = FIRST_MILLISECONDS;
  for (;;) {
    await seen(signal);
    await back(signal);
    if (signal.aborted) return;
    const connected = new Connection(parser, listener, signal);
    const end = await connected.read(sweepId);
    if (signal.aborted) return;
    if (end === "over") {
      onState("over");
      return;
    }
    if (connected.opened) wait = FIRST_MILLISECONDS;
    if (end === "unseen" || end === "crowded") continue;
    if (end === "looked") {
      await pause(jittered(LOOK_IN_MILLISECONDS), signal).catch(() => {});
      continue;
    }
    onState("lost");
    if (!(await isThere())) continue;
    await pause(jittered(wait), signal).catch(() => {});
    wait = Math.min(wait * 2, LONGEST_MILLISECONDS);
  }
}

function jittered(milliseconds) {
  return milliseconds * (0.75 + Math.random() / 2);
}

/** One connection, from its request to its end. */
class Connection {
  constructor(parser, listener, signal) {
    Object.assign(this, { parser, listener, stop: new AbortController(), held: mayHold() });
    Object.assign(this, { answered: false, opened: false, heardAt: Date.now(), away: 0 });
    this.signal = AbortSignal.any([signal, this.stop.signal]);
  }

  /** Why it ended: `over` (the sweep is), `looked` (in, and seen all), `unseen`, `crowded`, `silent`, `cut`. */
  async read(sweepId) {
    const leave = this.held ? hold(() => this.stop.abort("crowded")) : () => {};
    const watch = setInterval(() => this.#listenForSilence(), 1000);
    document.addEventListener("visibilitychange", () => this.#lookAway(), { signal: this.signal });
    window.addEventListener("online", () => this.stop.abort("silent"), { signal: this.signal }); // the network is another
    try {
      return await this.#readAll(sweepId);
    } catch {
      return this.stop.signal.aborted ? this.stop.signal.reason : "cut";
    } finally {
      clearInterval(watch);
      clearTimeout(this.away);
      this.stop.abort("done");
      leave();
    }
  }

  async #readAll(sweepId) {
    const answer = await this.#open(sweepId);
    if (answer === null) return "cut";
    if (answer.status === 404) return "over";
    this.answered = true;
    this.heardAt = Date.now();
    this.parser.rest = "";
    this.#tellState();
    const decoder = new TextDecoder();
    const reader = answer.body.getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return "cut";
      this.heardAt = Date.now();
      const all = this.parser.push(decoder.decode(value, { stream: true }));
      this.#tellState();
      for (const sent of all) {
        if (this.#tell(sent)) return sent.kind === "end" ? "over" : "looked";
      }
    }
  }

  /** The stream, or the answer that there is no such sweep; null where it is refused. @returns {Promise<Response | null>} */
  async #open(sweepId) {
    const { lastId } = this.parser;
    const used = token();
    const headers = { Accept: "text/event-stream", ...(lastId === null ? {} : { "Last-Event-ID": lastId }) };
    const answer = await fetch(url(`/sweeps/${sweepId}/events/stream`), { headers: authorised(headers), cache: "no-store", signal: this.signal });
    if (answer.ok || answer.status === 404) return answer;
    if (answer.status === 401) await askForToken(used);
    else if (isGateways(answer)) await isThere();
    return null;
  }

  /** Tell one; whether there is nothing more to read. */
  #tell({ kind, data }) {
    const told = JSON.parse(data);
    if (kind === "event") {
      this.listener.onEvent?.(told);
      return false;
    }
    this.listener.onProgress?.(told, kind === "end");
    return kind === "end" || !this.held;
  }

  /** Where the stream begins is known with its first id: what happens from then on is told. */
  #tellState() {
    if (this.opened || this.parser.lastId === null) return;
    this.opened = true;
    this.listener.onState(this.held ? "live" : "now and then");
  }

  /** By the clock on the wall: timers stop while a computer sleeps. */
  #listenForSilence() {
    const longest = this.answered ? SILENCE_MILLISECONDS : OPENING_MILLISECONDS;
    if (Date.now() - this.heardAt > longest) this.stop.abort("silent");
  }

  #lookAway() {
    clearTimeout(this.away);
    if (document.hidden) this.away = setTimeout(() => this.stop.abort("unseen"), UNSEEN_MILLISECONDS);
  }
}
