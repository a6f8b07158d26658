/** Which page an address shows. Pages get a place, what the address says, and a signal that aborts when they are left. */

import { Disconnected } from "./api.js";
import { failure } from "./components/states.js";
import { isThere } from "./connection.js";
import { fill } from "./dom.js";

/**
 * @typedef {{place: HTMLElement, id: number, signal: AbortSignal, title: (text: string) => void}} Visit
 * @typedef {(visit: Visit) => void | Promise<void>} Page
 * @typedef {{pattern: RegExp, load: () => Promise<Page>}} Route
 */

export class Router {
  /** @param {Route[]} routes @param {HTMLElement} place */
  constructor(routes, place) {
    this.routes = routes;
    this.place = place;
    this.leave = new AbortController();
    this.path = null;
  }

  start() {
    document.addEventListener("click", (event) => this.#follow(event));
    window.addEventListener("popstate", () => this.show());
    this.show();
  }

  /** @param {string} address */
  go(address) {
    history.pushState(null, "", address);
    this.show();
    window.scrollTo(0, 0);
    this.place.focus({ preventScroll: true });
  }

  /** Show what the address says, from the start. */
  async show() {
    this.leave.abort();
    this.leave = new AbortController();
    const { signal } = this.leave;
    const path = location.pathname;
    markCurrent(path);
    const route = this.routes.find(({ pattern }) => pattern.test(path)) ?? this.routes.at(-1);
    const page = await route.load().catch(() => null);
    if (signal.aborted) return;
    fill(this.place);
    if (page === null) {
      await isThere();
      fill(this.place, failure(new Disconnected(true), () => signal.aborted || location.reload()));
      return;
    }
    const id = Number(route.pattern.exec(path)?.[1]);
    const title = (text) => {
      document.title = `${text} · alignsweep`;
    };
    await page({ place: this.place, id, signal, title });
  }

  /** Links of this origin are followed without a new document. @param {MouseEvent} event */
  #follow(event) {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (link === null || link.origin !== location.origin || link.target || link.hasAttribute("download")) return;
    if ("outside" in link.dataset || link.getAttribute("href").startsWith("#")) return;
    event.preventDefault();
    this.go(link.pathname + link.search);
  }
}

function markCurrent(path) {
  const section = path === "/" ? "/sweeps" : path;
  for (const link of document.querySelectorAll(".nav a")) {
    const own = link.getAttribute("href");
    if (section === own || section.startsWith(`${own}/`)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}
