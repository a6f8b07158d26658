/** The REST API, as this page asks it: errors as values of one kind, patience with refusals that say when to come again. */

import { connection, isGateways, isLost, isThere } from "./connection.js";
import { askForToken, authorised, token } from "./token.js";

export const ROOT = "/api/v1";
const LONG_AT_ONCE = 2; // a caller may have four long requests in flight: other tabs want theirs
const TRIES = 4;
const DOUBT_MILLISECONDS = 6000; // an answer that takes longer may never come
const LONGEST_MILLISECONDS = 120000; // longer than anything takes: nobody is at the other end of this connection
const BETWEEN_MILLISECONDS = 500;
const BODILESS = [204, 205, 304];

/** What went wrong, as problem+json tells it. */
export class Problem extends Error {
  /** @param {{status: number, title?: string, detail?: string, errors?: any[], allowed?: string[]}} document */
  constructor(document) {
    super(document.detail ?? document.title ?? `The server answered ${document.status}`);
    this.status = document.status;
    this.title = document.title ?? "Something went wrong";
    this.detail = document.detail;
    /** @type {{pointer: string, code: string, message: string, hint?: string, line?: number, column?: number}[]} */
    this.errors = document.errors ?? [];
  }
}

/** The server could not be reached. `certain`: nothing was changed by what was asked. */
export class Disconnected extends Error {
  /** @param {boolean} certain */
  constructor(certain) {
    super(certain ? "The server cannot be reached" : "The server went away before it answered: whether this was done will be seen when it is back");
    this.certain = certain;
  }
}

/**
 * One request. Raises Problem, Disconnected, and AbortError.
 * @param {string} path below /api/v1
 * @param {{method?: string, query?: Record<string, any>, body?: any, text?: string, type?: string, accept?: string,
 *   headers?: Record<string, string>, signal?: AbortSignal}} [options]
 * @returns {Promise<Response>}
 */
export async function request(path, options = {}) {
  const safe = isSafe(path, options);
  for (let attempt = 1; ; attempt += 1) {
    const used = token();
    const answer = await send(path, options);
    if (answer === null) {
      if (!safe || isLost() || attempt >= TRIES) throw new Disconnected(safe);
      await pause(BETWEEN_MILLISECONDS * attempt, options.signal);
      continue;
    }
    if (answer.ok) return answer;
    if (answer.status === 401 && (await askForToken(used))) continue;
    if (answer.status === 503 && !(await isThere()) && safe) throw new Disconnected(safe);
    const wait = Number(answer.headers.get("Retry-After"));
    const patient = answer.status === 429 || (answer.status === 503 && safe);
    if (patient && wait > 0 && attempt < TRIES) {
      await pause(Math.min(wait, 5) * 1000, options.signal);
      continue;
    }
    throw new Problem(await problemOf(answer));
  }
}

/** Whether it may be sent twice. */
function isSafe(path, { method = "GET", query = {} }) {
  return method === "GET" || path === "/query" || query.dry_run === true;
}

/** The answer's JSON. @param {string} path @param {Parameters<typeof request>[1]} [options] */
export async function json(path, options) {
  const answer = await request(path, options);
  return answer.status === 204 ? null : answer.json();
}

/** @param {string} path @param {any} [body] @param {Parameters<typeof request>[1]} [options] */
export function post(path, body, options = {}) {
  return json(path, { ...options, method: "POST", body: body === undefined ? undefined : body });
}

/**
 * Rows of a list, page by page.
 * @param {string} path @param {Record<string, any>} query @param {AbortSignal} [signal]
 * @returns {Promise<{items: any[], next_cursor: string | null}>}
 */
export function page(path, query, signal) {
  return json(path, { query, signal });
}

let flying = 0;
const waiting = [];

/**
 * A query over the public views.
 * @param {string} sql @param {{maxRows?: number, signal?: AbortSignal}} [options]
 * @returns {Promise<{columns: string[], rows: any[][], truncated: boolean, elapsed_seconds: number}>}
 */
export async function ask(sql, { maxRows = 10000, signal } = {}) {
  if (flying >= LONG_AT_ONCE) await new Promise((resolve) => waiting.push(resolve));
  flying += 1;
  try {
    return await post("/query", { sql, max_rows: maxRows }, { signal });
  } finally {
    flying -= 1;
    waiting.shift()?.();
  }
}

/** The same as objects by column. @param {string} sql @param {Parameters<typeof ask>[1]} [options] */
export async function askRows(sql, options) {
  const { columns, rows } = await ask(sql, options);
  return rows.map((row) => Object.fromEntries(columns.map((name, i) => [name, row[i]])));
}

/** @param {string} path @param {Record<string, any>} [query] what is empty is left out; lists are not */
export function url(path, query = {}) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (Array.isArray(value)) parameters.set(name, value.join(","));
    else if (value !== null && value !== undefined && value !== "") parameters.set(name, String(value));
  }
  const text = parameters.toString();
  return `${ROOT}${path}${text && `?${text}`}`;
}

/**
 * The whole answer; null where the connection broke, or the server is away. Raises AbortError.
 * @returns {Promise<Response | null>}
 */
async function send(path, { method = "GET", query, body, text, type, accept, headers = {}, signal }) {
  const sent = { ...headers };
  if (accept) sent.Accept = accept;
  if (body !== undefined) sent["Content-Type"] = "application/json";
  if (text !== undefined) sent["Content-Type"] = type;
  const stop = new AbortController();
  const doubt = setInterval(isThere, DOUBT_MILLISECONDS);
  const dead = setTimeout(() => stop.abort(), LONGEST_MILLISECONDS);
  connection.addEventListener("lost", () => stop.abort(), { signal: stop.signal });
  try {
    const answer = await fetch(url(path, query), {
      method,
      headers: authorised(sent),
      body: body === undefined ? text : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, stop.signal]) : stop.signal,
    });
    clearTimeout(dead);
    if (isGateways(answer)) {
      await isThere();
      return null;
    }
    const content = BODILESS.includes(answer.status) ? null : await answer.arrayBuffer();
    return new Response(content, { status: answer.status, statusText: answer.statusText, headers: answer.headers });
  } catch (error) {
    if (signal?.aborted) throw error;
    await isThere();
    return null;
  } finally {
    clearInterval(doubt);
    clearTimeout(dead);
    stop.abort();
  }
}

async function problemOf(answer) {
  try {
    return { status: answer.status, ...(await answer.json()) };
  } catch {
    return { status: answer.status, title: answer.statusText || "Something went wrong" };
  }
}

/** @param {number} milliseconds @param {AbortSignal} [signal] @returns {Promise<void>} */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new DOMException("aborted", "AbortError"));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** Whether an error says only that nobody wants the answer any more. @param {unknown} error */
export function isAborted(error) {
  return error instanceof DOMException && error.name === "AbortError";
}
