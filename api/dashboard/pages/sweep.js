/** One sweep: how far it is, what can be done with it, what was measured. */

import { json } from "../api.js";
import { connection } from "../connection.js";
import { badge, liveProgress } from "../components/progress.js";
import { failure, loading } from "../components/states.js";
import { tabList } from "../components/tabs.js";
import { readAxes, zipped } from "../data/axes.js";
import { fill, framed, h, setText, uniqueId } from "../dom.js";
import { follow, LISTENS } from "../events.js";
import { age, moment } from "../format.js";
import { ViewState } from "../state.js";
import { actions } from "./sweep/actions.js";
import { alignmentTab } from "./sweep/alignment.js";
import { eventsTab } from "./sweep/events.js";
import { groupsTab } from "./sweep/groups.js";
import { editButton, labels } from "./sweep/labels.js";
import { learningTab } from "./sweep/learning.js";
import { outcomesTab } from "./sweep/outcomes.js";
import { specTab } from "./sweep/spec.js";
import { trialsTab } from "./sweep/trials.js";

const TABS = [
  { id: "alignment", label: "Alignment", open: alignmentTab },
  { id: "learning", label: "Learning", open: learningTab },
  { id: "outcomes", label: "Outcomes", open: outcomesTab },
  { id: "groups", label: "Groups", open: groupsTab },
  { id: "trials", label: "Trials", open: trialsTab },
  { id: "events", label: "Events", open: eventsTab },
  { id: "spec", label: "Spec", open: specTab },
];

/** Defaults of all that stands in the address of a sweep. */
const DEFAULTS = { tab: "alignment", measure: "gradient_alignment", by: "*", scale: "log", smooth: "1", bands: "yes", layer: "", hide: "", filter: "", sort: "", x: "gradient_alignment", y: "" };

/**
 * What the parts of the page share. Events: `changed` when trials have ended, `event` for each transition that the
 * stream told, `live` when it begins or is lost, `progress`.
 */
export class SweepView extends EventTarget {
  /** @param {any} sweep @param {{axes: import("../data/axes.js").Axis[], groups: number}} apart @param {AbortSignal} signal */
  constructor(sweep, { axes, groups }, signal) {
    super();
    this.sweep = sweep;
    /** What tells its groups apart, and how many there are. */
    this.axes = axes;
    this.groups = groups;
    this.signal = signal;
    this.state = new ViewState(DEFAULTS);
    /** What the stream has told since the page was opened, the last first; bounded. @type {any[]} */
    this.told = [];
    this.toldCount = 0;
  }

  get over() {
    return ["succeeded", "partial", "failed", "cancelled"].includes(this.sweep.state);
  }

  /** @param {any} sweep the whole, or its progress */
  update(sweep) {
    Object.assign(this.sweep, sweep);
    this.dispatchEvent(new Event("progress"));
  }
}

/** @param {import("../router.js").Visit} visit */
export default async function sweepPage({ place, id, signal, title }) {
  title(`Sweep ${id}`);
  place.append(loading(6, "Loading the sweep"));
  try {
    const [sweep, apart] = await Promise.all([json(`/sweeps/${id}`, { signal }), readAxes(id, signal)]);
    title(sweep.name);
    const view = new SweepView(sweep, { ...apart, axes: zipped(apart.axes, sweep.spec) }, signal);
    fill(place, header(view), tabs(view));
    watch(view);
  } catch (error) {
    if (signal.aborted) return;
    const again = () => {
      fill(place);
      sweepPage({ place, id, signal, title });
    };
    fill(place, failure(error, again));
  }
}

/** @param {SweepView} view */
function header(view) {
  const { sweep } = view;
  const state = h("span", { class: "state-now" });
  const live = h("span", { class: "live-mark" });
  const progress = liveProgress();
  const buttons = h("div", { class: "actions" });
  const name = h("h1", {}, sweep.name);
  const times = h("span", {});
  const show = framed(() => {
    setText(name, view.sweep.name);
    if (state.dataset.state !== view.sweep.state) {
      state.dataset.state = view.sweep.state;
      fill(state, badge(view.sweep.state));
    }
    setText(times, `sweep ${view.sweep.id} · submitted ${age(view.sweep.created_at)}${view.sweep.owner ? ` by ${view.sweep.owner}` : ""}${view.sweep.priority === 0 ? "" : ` · priority ${view.sweep.priority}`}`);
    progress.update(view.sweep);
    actions(buttons, view);
  });
  show();
  view.addEventListener("progress", show);
  view.addEventListener("live", (event) => setText(live, { live: "live", "now and then": "every few seconds", lost: "reconnecting", over: "" }[event.detail]));
  return h(
    "header",
    { class: "sweep-head" },
    h("div", { class: "page-head" }, h("div", { class: "title-line" }, name, state, live), h("div", { class: "actions" }, editButton(view), buttons)),
    h("p", { class: "meta", title: moment(sweep.created_at) }, times),
    progress.element,
    labels(view),
  );
}

/** @param {SweepView} view */
function tabs(view) {
  const panelId = uniqueId("panel");
  const panel = h("div", { role: "tabpanel", id: panelId, class: "panel" });
  const choose = (id) => view.state.set({ tab: id }, { push: true });
  const bar = tabList(TABS, current(view).id, choose, panelId);
  let leave = new AbortController();
  let shown = null;
  const open = () => {
    const tab = current(view);
    if (tab.id === shown) return;
    shown = tab.id;
    leave.abort();
    leave = new AbortController();
    bar.mark(tab.id);
    panel.setAttribute("aria-labelledby", `tab-${tab.id}`);
    fill(panel);
    tab.open(panel, view, AbortSignal.any([leave.signal, view.signal]));
  };
  open();
  view.state.addEventListener("change", (event) => event.detail.includes("tab") && open());
  return h("div", {}, bar.list, panel);
}

function current(view) {
  return TABS.find(({ id }) => id === view.state.get("tab")) ?? TABS[0];
}

const CHANGES = ["trial.succeeded", "trial.failed", "trial.cancelled"];
const TOLD = 500;

/** Follow the stream: progress, and what happens. @param {SweepView} view */
function watch(view) {
  const { signal } = view;
  const refresh = async () => {
    try {
      view.update(await json(`/sweeps/${view.sweep.id}`, { signal }));
    } catch (error) {
      if (!signal.aborted) console.warn(error);
    }
  };
  connection.addEventListener("restored", () => refresh().then(() => view.over || start()), { signal });
  let following = null;
  const start = () => {
    if (following !== null) return;
    const listener = {
      onEvent(event) {
        view.toldCount += 1;
        view.told.unshift(event);
        view.told.length = Math.min(view.told.length, TOLD);
        view.dispatchEvent(new CustomEvent("event", { detail: event }));
        if (CHANGES.includes(event.kind)) view.dispatchEvent(new Event("changed"));
        if (event.kind.startsWith("sweep.")) refresh();
      },
      onProgress(progress, over) {
        view.update(progress);
        if (over) refresh().then(() => view.dispatchEvent(new Event("changed")));
      },
      onState(state) {
        view.dispatchEvent(new CustomEvent("live", { detail: state }));
        if (LISTENS.includes(state)) refresh(); // what changed between the reading of the page and the beginning of the stream
      },
    };
    following = follow(view.sweep.id, listener, signal).finally(() => {
      following = null;
    });
  };
  view.addEventListener("reopened", () => refresh().then(start));
  if (!view.over) start();
}
