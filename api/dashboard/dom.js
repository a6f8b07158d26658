/**
 * Elements from data. Text is always set as text: nothing here, or elsewhere, parses markup.
 * @typedef {Node | string | number | null | undefined | false | Child[]} Child
 */

/**
 * An element. `props`: `class`, `on` (listeners by event), `data` (dataset), `style` (by property), properties of the
 * element where it has them, else attributes; null, undefined and false leave out.
 * @param {string} tag
 * @param {Record<string, any>} [props]
 * @param {...Child} children
 * @returns {any}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) set(element, name, value);
  append(element, children);
  return element;
}

/** @param {any} element @param {string} name @param {any} value */
function set(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name === "class") element.className = value;
  else if (name === "on") for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
  else if (name === "data") Object.assign(element.dataset, value);
  else if (name === "style") for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
  else if (name in element && name !== "list" && name !== "form") element[name] = value;
  else element.setAttribute(name, value === true ? "" : String(value));
}

/** @param {Node} parent @param {Child[]} children */
function append(parent, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(parent, child);
    else if (child instanceof Node) parent.appendChild(child);
    else if (child !== null && child !== undefined && child !== false) parent.appendChild(document.createTextNode(String(child)));
  }
}

const FOCUSABLE = "button:enabled, a[href], input:enabled, select:enabled, textarea:enabled, summary";

/** Replace all that is in an element; what had the focus there keeps it if it comes again, else the first that can take it does. @param {Element} parent @param {...Child} children */
export function fill(parent, ...children) {
  const fragment = document.createDocumentFragment();
  append(fragment, children);
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  const name = focused && nameOf(focused);
  parent.replaceChildren(fragment);
  if (!focused || focused === parent || focused.isConnected) return;
  const same = [...parent.querySelectorAll(focused.tagName)].find((other) => nameOf(other) === name);
  (same ?? parent.querySelector(FOCUSABLE))?.focus({ preventScroll: true });
}

/** By what an element is known again. @param {any} element */
function nameOf(element) {
  return element.getAttribute("href") ?? element.getAttribute("aria-label") ?? element.labels?.[0]?.textContent ?? element.textContent;
}

/** Set a text where it differs: what has not changed is not painted again. @param {Element} element @param {string} text */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

let ids = 0;

/** An id that no other element has. @param {string} stem */
export function uniqueId(stem) {
  ids += 1;
  return `${stem}-${ids}`;
}

/**
 * At most one call per frame, with the last arguments.
 * @template {any[]} T
 * @param {(...args: T) => void} paint
 * @returns {(...args: T) => void}
 */
export function framed(paint) {
  let pending = null;
  return (...args) => {
    if (pending === null) {
      requestAnimationFrame(() => {
        const last = pending;
        pending = null;
        paint(...last);
      });
    }
    pending = args;
  };
}

/**
 * Call when nothing was asked for a while.
 * @template {any[]} T
 * @param {number} milliseconds
 * @param {(...args: T) => void} act
 * @returns {(...args: T) => void}
 */
export function settled(milliseconds, act) {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = window.setTimeout(() => act(...args), milliseconds);
  };
}
