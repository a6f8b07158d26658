/** Controls that the charts of a sweep share: what is grouped by, which groups, how steps are laid out. */

import { listed, unlisted } from "../../data/names.js";
import { shortName } from "../../data/axes.js";
import { check, segments, select } from "../../components/fields.js";
import { fill, h } from "../../dom.js";
import { counted, setting, whole } from "../../format.js";

const WHERE = "where.";
export const MOST_SERIES = 24;

/**
 * What the address says of the selection.
 * @param {import("../../state.js").ViewState} state @param {{axes: import("../../data/axes.js").Axis[], groups: number}} sweep
 */
export function selectionOf(state, { axes, groups }) {
  const asked = state.get("by");
  const by = asked === "*" ? defaultAxis(axes, groups) : axes.some(({ name }) => name === asked) ? asked : "";
  const where = Object.entries(state.under(WHERE)).filter(([name]) => axes.some((axis) => axis.name === name));
  return {
    axes,
    by,
    where: Object.fromEntries(where),
    scale: state.get("scale"),
    smooth: Math.max(1, Number(state.get("smooth")) || 1),
    bands: state.get("bands") === "yes",
    hidden: hiddenOf(state),
  };
}

/** The only axis, the rule, else the axis of fewest values; every configuration by itself where there are few. */
function defaultAxis(axes, groups) {
  const alone = axes.filter(({ follows }) => !follows);
  if (alone.length === 1 && alone[0].count <= MOST_SERIES && alone[0].name !== "model.kind") return alone[0].name;
  if (groups <= 8) return "";
  const rule = axes.find(({ name }) => name === "rule.name");
  if (rule) return rule.name;
  return [...axes].filter(({ name, count }) => count > 1 && name !== "model.kind").sort((a, b) => a.count - b.count)[0]?.name ?? "";
}

/**
 * @param {HTMLElement} place @param {import("../../state.js").ViewState} state
 * @param {Parameters<typeof selectionOf>[1]} sweep
 * @param {import("../../dom.js").Child[]} [own] controls of the tab itself, before the others
 * @param {{steps?: boolean}} [options]
 */
export function selectionControls(place, state, sweep, own = [], { steps = true } = {}) {
  const selection = selectionOf(state, sweep);
  const { axes, by, where, scale, smooth, bands } = selection;
  const byOptions = [{ value: "", label: "every configuration" }, ...axes.map(({ name }) => ({ value: name, label: shortName(name, axes) }))];
  const wheres = axes.filter(({ name, values, follows }) => !follows && name !== by && values.length > 1).map((axis) => whereSelect(axis, axes, where, state));
  fill(
    place,
    own,
    select("Group by", byOptions, by, (value) => state.set({ by: value === "" ? "none" : value, hide: null })),
    poolsNote(pooledAxes(selection)),
    wheres,
    steps && [
      segments("Updates", [{ value: "log", label: "log" }, { value: "linear", label: "linear" }], scale, (value) => state.set({ scale: value })),
      select("Smoothing", [1, 3, 5, 9, 15].map((width) => ({ value: String(width), label: width === 1 ? "none" : `mean of ${width} points` })), String(smooth), (value) => state.set({ smooth: value })),
      check("± sd", bands, (value) => state.set({ bands: value ? "yes" : "no" })),
    ],
  );
}

function whereSelect({ name, values }, axes, where, state) {
  const options = [{ value: "", label: "all" }, ...values.map((value) => ({ value: JSON.stringify(value), label: setting(value) }))];
  return select(shortName(name, axes), options, where[name] ?? "", (value) => state.set({ [WHERE + name]: value, hide: null }));
}

/** Names of the series that are hidden. @param {import("../../state.js").ViewState} state */
export function hiddenOf(state) {
  return new Set(unlisted(state.get("hide")));
}

/** @param {import("../../state.js").ViewState} state @param {string} label */
export function toggleHidden(state, label) {
  const hidden = hiddenOf(state);
  if (hidden.has(label)) hidden.delete(label);
  else hidden.add(label);
  state.set({ hide: listed([...hidden]) });
}

/** Axes over which the series are means: neither grouped by nor chosen from. @param {ReturnType<typeof selectionOf>} selection */
function pooledAxes({ axes, by, where }) {
  if (by === "") return [];
  return axes.filter(({ name, count, follows }) => name !== by && !follows && count > 1 && !where[name]).map(({ name }) => shortName(name, axes));
}

/** Beside what is grouped by. @param {string[]} names */
function poolsNote(names) {
  const [last, ...others] = [...names].reverse();
  return names.length > 0 && h("p", { class: "hint pools" }, `pools ${others.length > 0 ? `${others.reverse().join(", ")} and ` : ""}${last}`);
}

/** How many trials have none of a measure, and why. @param {number} count @param {string} measure in words @param {any} view @param {{axes: any[], where: Record<string, string>}} selection */
export function missingNote(count, measure, { sweep }, { axes, where }) {
  const rule = axes.find(({ name }) => name === "rule.name");
  const rules = rule === undefined ? [sweep.spec.base.rule.name] : where[rule.name] ? [JSON.parse(where[rule.name])] : rule.values;
  return count > 0 ? ` ${counted(count, "trial has", "trials have")} no ${measure}${measure.endsWith("alignment") && rules.includes("bp") ? ": backpropagation has none" : ""}.` : "";
}

/** That trials diverged. @param {{sweep: any}} view */
export function divergedNote({ sweep: { diverged = 0, trials } }) {
  return diverged > 0 ? ` ${whole(diverged)} of ${counted(trials.succeeded ?? diverged, "trial")} diverged; losses of those are as measured before.` : "";
}

/** What is said below charts of pooled groups. @param {import("../../data/series.js").Series[]} series @param {{smooth: number, bands: boolean, folded: any, left: number}} options */
export function pooledNote(series, { smooth, bands, folded, left }) {
  const counts = series.flatMap(({ lines }) => [...lines.values()].map(({ n }) => n));
  const most = counts.map((n) => Math.max(0, ...n));
  const [fewest, trials] = [Math.min(...most), Math.max(0, ...most)];
  const groups = Math.max(0, ...series.map((one) => one.groups));
  if (trials === 1 && groups === 1) return `One trial in each series${left + folded.left > 0 ? `; ${leftOut(left + folded.left)}` : ""}.`;
  const parts = [`Mean${bands ? " and standard deviation" : ""} over ${fewest < trials ? `${fewest} to ` : ""}${trials} ${trials === 1 ? "trial" : "trials"}`];
  if (groups > 1) parts[0] += ` of ${groups} configurations, pooled`;
  if (counts.some((n, i) => Math.min(...n) < most[i])) parts.push("over fewer where some have not come so far");
  if (smooth > 1) parts.push(`smoothed by a running mean over ${smooth} trace points`);
  if (folded.sampled) parts.push(`${folded.shown.toLocaleString("en")} of ${folded.total.toLocaleString("en")} trace points shown`);
  if (left + folded.left > 0) parts.push(leftOut(left + folded.left));
  return `${parts.join("; ")}.`;
}

function leftOut(left) {
  return `${left} more series are not shown: group by an axis, or choose fewer`;
}

/** An empty place for controls. */
export function controlBar() {
  return h("form", { class: "controls strip", "aria-label": "What the charts show", on: { submit: (event) => event.preventDefault() } });
}
