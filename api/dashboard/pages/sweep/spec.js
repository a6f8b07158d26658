/** What the sweep was asked to train: the spec, without what has its default, or whole. */

import { post, request } from "../../api.js";
import { check } from "../../components/fields.js";
import { toastError } from "../../components/toast.js";
import { download } from "../../data/csv.js";
import { pruned, yamlOf } from "../../data/yaml.js";
import { fill, h } from "../../dom.js";

/** @param {HTMLElement} panel @param {import("../sweep.js").SweepView} view @param {AbortSignal} signal */
export async function specTab(panel, view, signal) {
  const { state, sweep } = view;
  const text = h("pre", { class: "spec", tabIndex: 0, "aria-label": "The spec" });
  const archive = h("button", { type: "button", on: { click: () => keepArchive(sweep.id) } }, "Archive (zip)");
  panel.append(
    h("div", { class: "controls bar-line" }, check("With all defaults", state.get("all") === "yes", (value) => state.set({ all: value ? "yes" : "" })), h("div", { class: "actions push" }, view.over && archive, h("a", { class: "button", href: `/new?from=${sweep.id}` }, "Use it for a new sweep"))),
    text,
  );
  const short = await shortSpec(sweep.spec, signal);
  const show = () => fill(text, yamlOf(state.get("all") === "yes" ? sweep.spec : short));
  show();
  state.addEventListener("change", show, { signal });
}

async function keepArchive(id) {
  try {
    download(`sweep-${id}.zip`, await (await request(`/sweeps/${id}/archive`)).blob());
  } catch (error) {
    toastError(error);
  }
}

/** The spec without its defaults, where the server tells those. @param {any} spec @param {AbortSignal} signal */
export async function shortSpec(spec, signal) {
  try {
    const { spec: defaults } = await post("/sweeps", { name: "-" }, { query: { dry_run: true }, signal });
    const { name, ...rest } = pruned(spec, { ...defaults, name: null });
    return { name, ...rest };
  } catch {
    return spec; // a token that may not submit is not told
  }
}
