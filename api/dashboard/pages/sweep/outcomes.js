/** Outcomes of trials: one against another, and over all parameters at once. What is brushed is a filter of the API's lists. */

import { filterText, read, scaleOf, written } from "../../charts/brushes.js";
import { Chart, showLegend } from "../../charts/chart.js";
import { logAxis } from "../../charts/curves.js";
import { looks } from "../../charts/palette.js";
import { ParallelCoordinates } from "../../charts/parallel.js";
import { isDark } from "../../charts/plotly.js";
import { scatter } from "../../charts/scatter.js";
import { select } from "../../components/fields.js";
import { empty, failure, loading } from "../../components/states.js";
import { axisNames, chosen, nameOf, shortName, valueName } from "../../data/axes.js";
import { poll } from "../../data/polling.js";
import { outcomesSql } from "../../data/sql.js";
import { MOST_TRIALS, Succeeded } from "../../data/succeeded.js";
import { fill, h } from "../../dom.js";
import { whole } from "../../format.js";
import { navigate } from "../../navigate.js";
import { brushEditor } from "./brushing.js";
import { controlBar, divergedNote, missingNote, MOST_SERIES, selectionControls, selectionOf, toggleHidden } from "./selection.js";

const OUTCOMES = { test_accuracy: "test accuracy", train_accuracy: "train accuracy", test_loss: "test loss", train_loss: "train loss", gradient_alignment: "gradient alignment", weight_alignment: "weight alignment", generalisation_error: "generalisation error", steps: "updates" };
const BRUSH = "brush.";
const MOST_POINTS = 500;
const EVERY_MILLISECONDS = 10000;

/** @param {HTMLElement} panel @param {import("../sweep.js").SweepView} view @param {AbortSignal} signal */
export function outcomesTab(panel, view, signal) {
  const { state, sweep } = view;
  const controls = controlBar();
  const place = h("div", { class: "charts" });
  const chart = new Chart({ title: "Alignment and outcome at the end", name: `sweep-${sweep.id}-outcomes`, signal, onClick: ({ customdata }) => navigate(`/trials/${customdata[0]}`) });
  const onBrush = (name, brush) => state.set({ [BRUSH + name]: brush === null ? null : written(brush) });
  const parallel = new ParallelCoordinates({ onBrush, signal });
  const brushed = h("div", { class: "brushed" });
  const heading = h("div", { class: "chart-head" }, h("h2", {}, "Parameters and outcomes"));
  const figure = h("figure", { class: "chart" }, heading, parallel.element, brushed);
  panel.append(controls, place);
  fill(place, loading(7, "Loading trials"));
  const succeeded = new Succeeded(sweep.id, ["seed", "varied", ...Object.keys(OUTCOMES), ...axisNames(sweep)]);
  let trials = null;
  const show = () => {
    if (trials === null) return;
    if (trials.length === 0) {
      fill(place, empty(view.over ? "No trial has succeeded." : "No trial has succeeded yet."));
      return;
    }
    if (!figure.isConnected) fill(place, chart.element, figure);
    draw({ trials, view, controls, chart, parallel, brushed, onBrush });
  };
  const onPage = () => {
    trials = succeeded.trials;
    show();
  };
  const again = poll(async () => {
    try {
      await succeeded.read(signal, onPage);
      if (trials === null) onPage();
    } catch (error) {
      signal.throwIfAborted();
      if (trials === null) fill(place, failure(error, again));
    }
    return view.over ? null : EVERY_MILLISECONDS;
  }, signal);
  view.addEventListener("changed", () => {
    if (!view.over) return;
    show();
    again();
  }, { signal });
  state.addEventListener("change", show, { signal });
  document.addEventListener("theme", show, { signal });
}

function draw({ trials, view, controls, chart, parallel, brushed, onBrush }) {
  const { state, sweep } = view;
  const defined = Object.keys(OUTCOMES).filter((name) => trials.some((trial) => trial[name] !== null));
  const outcome = defined.includes(state.get("y")) ? state.get("y") : defined.find((name) => !name.endsWith("alignment"));
  const x = defined.includes(state.get("x")) ? state.get("x") : outcome;
  showControls(controls, view, defined, { x, y: outcome });
  const selection = selectionOf(state, view);
  const { series, colours } = seriesOf(chosen(trials, selection.where), selection);
  showLegend(chart.legend, series.map(({ label, colour, dash, hidden }) => ({ label, colour, dash: `mark-${dash}`, hidden })), (label) => toggleHidden(state, label));
  const visible = series.filter(({ hidden }) => !hidden);
  const all = sweep.trials.succeeded ?? 0;
  const points = visible.reduce((sum, one) => sum + one.points.length, 0);
  chart.draw(JSON.stringify([trials.length, location.search, isDark(), sweep.diverged]), () =>
    scatter(visible.map((one) => ({ ...one, points: thinned(one.points, points) })), {
      x: { name: x, label: OUTCOMES[x] },
      y: { name: outcome, label: OUTCOMES[outcome], log: outcome.endsWith("loss") ? logAxis(trials.map((trial) => trial[outcome])) : null },
      sql: outcomesSql({ sweep: sweep.id, columns: [x, outcome], where: selection.where }),
      note: [
        all > MOST_TRIALS && trials.length >= MOST_TRIALS && `The last ${whole(trials.length)} of ${whole(all)} trials that succeeded.`,
        points > MOST_POINTS && `About ${whole(MOST_POINTS)} of ${whole(points)} trials are shown as points, as many of each series as its share.`,
        "A point is a trial: choose it to open it.",
      ].filter(Boolean).join(" ") + [...new Set([x, outcome])].map((name) => withoutNote(name, visible, view, selection)).join("") + divergedNote(view),
    }),
  );
  showParallel({ trials: visible.flatMap(({ points }) => points), selection, defined, state, parallel, brushed, onBrush, colours, sweep, all: trials });
}

function showParallel({ trials, all, selection, defined, state, parallel, brushed, onBrush, colours, sweep }) {
  const outcomes = defined.filter((name) => name !== "steps" && name !== "generalisation_error" && !(name.startsWith("train_") && defined.includes(name.replace("train", "test"))));
  const names = [...selection.axes.map(({ name }) => name), ...outcomes];
  const scales = names.map((name) => scaleOf(name, OUTCOMES[name] ?? shortName(name, selection.axes), all.map((trial) => trial[name])));
  const brushes = {};
  for (const scale of scales) {
    const brush = read(scale, state.get(BRUSH + scale.name));
    if (brush !== undefined) brushes[scale.name] = brush;
  }
  parallel.show({ scales, rows: trials, brushes, colourOf: (trial) => colours.get(trial.id) ?? "#888888" });
  brushEditor(brushed, { scales, brushes, trials, filter: filterText(brushes), sweepId: sweep.id, onBrush });
}

/** How many of the trials have no such outcome. */
function withoutNote(name, series, view, selection) {
  const without = series.flatMap(({ points }) => points.filter((trial) => trial[name] === null));
  return missingNote(without.length, OUTCOMES[name], view, selection);
}

/** Points at equal distances in the list: so many in all, of a series its share. */
function thinned(points, all) {
  const step = Math.max(1, all / MOST_POINTS);
  return Array.from({ length: Math.ceil(points.length / step) }, (_, i) => points[Math.floor(i * step)]);
}

function showControls(place, view, defined, { x, y }) {
  const { state } = view;
  const key = JSON.stringify([location.search, defined]);
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  const options = defined.map((name) => ({ value: name, label: OUTCOMES[name] }));
  selectionControls(place, state, view, [
    select("Outcome", options, y, (value) => state.set({ y: value })),
    select("Against", options, x, (value) => state.set({ x: value })),
  ], { steps: false });
}

/** Trials by the axis that they are grouped by, or by configuration, with a colour for each. */
function seriesOf(trials, { by, axes, hidden }) {
  const groups = new Map();
  for (const trial of trials) {
    const key = JSON.stringify(by === "" ? trial.varied : (trial.varied[by] ?? null));
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(trial);
  }
  const axis = axes.find(({ name }) => name === by);
  const found = [...groups.values()].map((points) => ({ points, value: by === "" ? null : (points[0].varied[by] ?? null) }));
  if (axis?.ordered) found.sort((a, b) => a.value - b.value);
  const alike = by === "" && found.length > MOST_SERIES; // more than can be told apart
  const own = alike ? found.map(() => looks(1, false, isDark())[0]) : looks(found.length, axis?.ordered ?? false, isDark());
  const colours = new Map();
  const series = found.map(({ points, value }, i) => {
    for (const point of points) colours.set(point.id, own[i].colour);
    return { points, ...own[i], label: by === "" ? nameOf(points[0].varied, axes) : valueName(by, value, axes) };
  });
  const merged = alike ? [{ ...series[0], label: "trials", points: series.flatMap(({ points }) => points) }] : series;
  return { series: merged.map((one) => ({ ...one, hidden: hidden.has(one.label) })), colours };
}
