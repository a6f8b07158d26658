/** What the tabs with curves share: reading them again while the sweep runs, series with their looks, zoom. */

import { looks } from "../../charts/palette.js";
import { isDark } from "../../charts/plotly.js";
import { failure, loading } from "../../components/states.js";
import { chosen } from "../../data/axes.js";
import { seriesOf } from "../../data/pool.js";
import { poll } from "../../data/polling.js";
import { pointsFor, Source } from "../../data/source.js";
import { fill, settled } from "../../dom.js";
import { MOST_SERIES } from "./selection.js";

const LEAST_MILLISECONDS = 4000;
const PER_READING = 6;

/**
 * Read curves until the tab is left. `show` is called with what is folded, when it has changed and when the view has.
 * @param {{view: any, path: string, signal: AbortSignal, place: Element, show: (folded: any) => void}} options
 */
export function readCurves({ view, path, signal, place, show }) {
  const source = new Source(`/sweeps/${view.sweep.id}/${path}`, { max_points: pointsFor(view.sweep) }, "curves");
  let folded = null;
  fill(place, loading(7, "Loading curves"));
  const read = async () => {
    try {
      const found = await source.read(signal);
      if (found !== null) {
        folded = { ...found, version: (folded?.version ?? 0) + 1 };
        show(folded);
      }
    } catch (error) {
      signal.throwIfAborted();
      if (folded === null) fill(place, failure(error, again));
      return view.over ? null : LEAST_MILLISECONDS;
    }
    return view.over ? null : Math.max(LEAST_MILLISECONDS, PER_READING * source.took);
  };
  const again = poll(read, signal);
  view.addEventListener("changed", () => view.over && again(), { signal });
  const redraw = () => folded !== null && show(folded);
  view.state.addEventListener("change", redraw, { signal });
  document.addEventListener("theme", redraw, { signal });
  window.addEventListener("resize", settled(200, redraw), { signal });
}

/**
 * Series and what they look like; a theory has the colour of its simulation.
 * @param {import("../../data/fold.js").Curve[]} curves @param {string} measure
 * @param {{by: string, where: Record<string, string>, axes: any[], hidden: Set<string>}} selection
 */
export function dressedSeries(curves, measure, { by, where, axes, hidden }) {
  const all = seriesOf(chosen(curves, where), measure, by);
  const defined = all.filter(({ lines }) => lines.size > 0);
  const series = defined.slice(0, MOST_SERIES);
  const bare = (label) => label.replace(/ \(theory\)$/, "");
  const names = [...new Set(all.map(({ label }) => bare(label)))];
  const ordered = axes.find(({ name }) => name === by)?.ordered ?? false;
  const own = looks(names.length, ordered, isDark());
  return {
    left: defined.length - series.length,
    series: series.filter(({ label }) => !hidden.has(label)),
    entries: series.map((one) => ({ label: one.label, theory: one.theory, hidden: hidden.has(one.label), ...own[names.indexOf(bare(one.label))], ...(one.theory ? { dash: "dash" } : {}) })),
  };
}

/** Remember what is zoomed to; a new range of steps has new ticks. @param {(zoom: [number, number] | undefined) => void} set */
export function zoomed(set) {
  return (change) => {
    const key = Object.keys(change).find((name) => /^xaxis\d*\.range\[0\]$/.test(name));
    if (key !== undefined) set([change[key], change[key.replace("[0]", "[1]")]]);
    else if (Object.keys(change).some((name) => /^xaxis\d*\.autorange$/.test(name))) set(undefined);
  };
}
