/**
 * The state of a view lives in the query string: whoever is sent the address sees the same. What has its default is left
 * out.
 */

export class ViewState extends EventTarget {
  /** @param {Record<string, string>} defaults values by name */
  constructor(defaults) {
    super();
    this.defaults = defaults;
  }

  /** @param {string} name @returns {string} */
  get(name) {
    return new URLSearchParams(location.search).get(name) ?? this.defaults[name] ?? "";
  }

  /** All values that stand in the address with this beginning, without it. @param {string} prefix */
  under(prefix) {
    const found = {};
    for (const [name, value] of new URLSearchParams(location.search)) {
      if (name.startsWith(prefix)) found[name.slice(prefix.length)] = value;
    }
    return found;
  }

  /**
   * Change some; `change` is told, with their names. `push`: the back button returns to what was.
   * @param {Record<string, string | null>} patch @param {{push?: boolean}} [options]
   */
  set(patch, { push = false } = {}) {
    const query = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries(patch)) {
      if (value === null || value === "" || value === this.defaults[name]) query.delete(name);
      else query.set(name, value);
    }
    const text = query.toString();
    const address = location.pathname + (text && `?${text}`);
    if (address === location.pathname + location.search) return;
    history[push ? "pushState" : "replaceState"](null, "", address);
    this.dispatchEvent(new CustomEvent("change", { detail: Object.keys(patch) }));
  }

  /** An address of this page with other values. @param {Record<string, string>} patch */
  href(patch) {
    const query = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries(patch)) {
      if (value === this.defaults[name]) query.delete(name);
      else query.set(name, value);
    }
    const text = query.toString();
    return location.pathname + (text && `?${text}`);
  }
}
