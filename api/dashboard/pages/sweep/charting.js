/** What the tabs with curves share: reading them again while the sweep runs, series with their looks, zoom. */

import { looks } from "../../charts/palette.js";
import { isDark } from "../../charts/plotly.js";
import { empty, failure, loading } from "../../components/states.js";
import { question, seriesOf } from "../../data/series.js";
import { poll } from "../../data/polling.js";
import { Source } from "../../data/source.js";
import { fill, settled } from "../../dom.js";
import { MOST_SERIES, selectionOf } from "./selection.js";

const LEAST_MILLISECONDS = 4000;
const PER_READING = 6;
/** Series asked for where each configuration is one: some may have nothing to show. */
const MOST_ASKED = 2 * MOST_SERIES;
const POINTS = { most: 120, least: 20 };
/** What the server is to read for one answer: points of groups, of trials where nothing is put together. */
const READ = 200000;
/** Curves of ended groups of so many trials are put together once. */
const KEPT_FROM = 4;

/**
 * Read curves until the tab is left, and anew when others are asked for. `show` is called with what is folded, when it
 * has changed and when the view has; `by` and `where` are those that it was asked for with.
 * @param {{view: any, path: string, signal: AbortSignal, place: HTMLElement, show: (folded: any) => void}} options
 */
export function readCurves({ view, path, signal, place, show }) {
  /** What is being read, and what was read last: not always the same. */
  let asked = null;
  let folded = null;
  let version = 0;
  const isAsked = () => asked !== null && !asked.leave.signal.aborted && asked.key === JSON.stringify(curvesQuery(view));
  fill(place, loading(7, "Loading curves"));
  const read = async () => {
    if (!isAsked()) asked = newQuestion(view, path);
    const { key, source, leave, by, where } = asked;
    try {
      const found = await source.read(AbortSignal.any([signal, leave.signal]));
      if (found !== null) {
        version += 1;
        folded = { ...found, key, by, where, version };
        show(folded);
      }
    } catch (error) {
      signal.throwIfAborted();
      if (leave.signal.aborted) return 0;
      if (folded?.key !== key) {
        folded = null; // what is there is not what was asked for
        fill(place, failure(error, again));
      }
    }
    place.ariaBusy = "false";
    return view.over ? null : Math.max(LEAST_MILLISECONDS, PER_READING * source.took);
  };
  const again = poll(read, signal);
  const redraw = () => {
    if (isAsked()) {
      if (folded !== null) show(folded);
      return;
    }
    place.ariaBusy = "true";
    asked?.leave.abort();
    again();
  };
  view.addEventListener("changed", () => {
    if (!view.over) return;
    if (folded !== null) show(folded);
    again();
  }, { signal });
  view.state.addEventListener("change", redraw, { signal });
  document.addEventListener("theme", redraw, { signal });
  window.addEventListener("resize", settled(200, redraw), { signal });
}

function newQuestion(view, path) {
  const query = curvesQuery(view);
  const { by, where } = selectionOf(view.state, view);
  return { key: JSON.stringify(query), by, where, source: new Source(`/sweeps/${view.sweep.id}/${path}`, query, "curves"), leave: new AbortController() };
}

/** The selection, but for what was read: others may be wanted meanwhile. @param {any} view @param {{by: string, where: Record<string, string>}} folded */
export function selectionOfRead(view, { by, where }) {
  return { ...selectionOf(view.state, view), by, where };
}

/** What is asked for: the series that the view shows, at so many points. @param {any} view */
function curvesQuery(view) {
  const selection = selectionOf(view.state, view);
  const each = selection.by === "";
  const kept = view.over && view.sweep.trial_count >= KEPT_FROM * view.groups;
  const read = kept ? view.groups : view.sweep.trial_count;
  const points = Math.min(POINTS.most, Math.max(POINTS.least, Math.round(READ / read)));
  return { ...question(view.axes, selection), max_points: each && view.groups > MOST_SERIES ? POINTS.most / 2 : points, max_series: each ? MOST_ASKED : undefined };
}

/**
 * Series and what they look like; a theory has the colour of its simulation. `missing`: trials without the measure.
 * @param {import("../../data/fold.js").Curve[]} curves @param {string} measure
 * @param {{by: string, axes: any[], hidden: Set<string>}} selection
 */
export function dressedSeries(curves, measure, { by, axes, hidden }) {
  const all = seriesOf(curves, measure, by, axes);
  const defined = all.filter(({ lines }) => lines.size > 0);
  const series = defined.slice(0, MOST_SERIES);
  const bare = (label) => label.replace(/ \(theory\)$/, "");
  const names = [...new Set(all.map(({ label }) => bare(label)))];
  const ordered = axes.find(({ name }) => name === by)?.ordered ?? false;
  const own = looks(names.length, ordered, isDark());
  return {
    left: defined.length - series.length,
    missing: all.filter(({ label }) => !hidden.has(label)).reduce((sum, one) => sum + one.missing, 0),
    series: series.filter(({ label }) => !hidden.has(label)),
    entries: series.map((one) => ({ label: one.label, theory: one.theory, hidden: hidden.has(one.label), ...own[names.indexOf(bare(one.label))], ...(one.theory ? { dash: "dash" } : {}) })),
  };
}

/** What stands where there is nothing to draw. @param {any} view */
export function nothingMeasured(view) {
  if (view.over) return empty("Nothing was measured.", `The sweep has ${view.sweep.state === "cancelled" ? "been cancelled" : "ended"} before any trial had its first trace point.`);
  return empty("Nothing was measured yet.", "Charts appear with the first trace points.");
}

/** Remember what is zoomed to; a new range of steps has new ticks. @param {(zoom: [number, number] | undefined) => void} set */
export function zoomed(set) {
  return (change) => {
    const key = Object.keys(change).find((name) => /^xaxis\d*\.range\[0\]$/.test(name));
    if (key !== undefined) set([change[key], change[key.replace("[0]", "[1]")]]);
    else if (Object.keys(change).some((name) => /^xaxis\d*\.autorange$/.test(name))) set(undefined);
  };
}
