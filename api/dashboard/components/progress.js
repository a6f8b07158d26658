/** How far a sweep is: a bar of its trials by state, and the same in words. */

import { h, setText } from "../dom.js";
import { counted, duration, rate, whole } from "../format.js";

const STATES = ["succeeded", "failed", "cancelled", "running", "queued"];

/** A thin bar; its label says what it shows. @param {{trials: Record<string, number>, trial_count: number}} sweep */
export function bar(sweep) {
  const parts = STATES.map((state) => h("span", { class: `part part-${state}` }));
  const element = h("div", { class: "bar", role: "img" }, parts);
  const update = (shown) => {
    const { trials, trial_count: count } = shown;
    STATES.forEach((state, i) => {
      const width = `${(100 * (trials[state] ?? 0)) / Math.max(1, count)}%`;
      if (parts[i].style.width !== width) parts[i].style.width = width;
    });
    element.setAttribute("aria-label", sentence(shown));
  };
  update(sweep);
  return { element, update };
}

/** @param {{trials: Record<string, number>, trial_count: number, diverged?: number}} sweep */
export function sentence({ trials, trial_count: count, diverged = 0 }) {
  const parts = STATES.filter((state) => trials[state] > 0).map((state) => `${whole(trials[state])} ${state}${state === "succeeded" && diverged > 0 ? ` (${whole(diverged)} of them diverged)` : ""}`);
  return `${counted(count, "trial")}: ${parts.join(", ") || "none yet"}`;
}

/** The word for a state, with its mark: never by colour alone. @param {string} state */
export function badge(state) {
  const marks = { succeeded: "✓", failed: "✕", cancelled: "–", running: "▸", queued: "·", paused: "‖", partial: "◐" };
  return h("span", { class: `badge badge-${state}` }, h("span", { class: "mark", "aria-hidden": "true" }, marks[state] ?? "·"), state);
}

/** @param {{trials: Record<string, number>, trial_count: number}} sweep */
export function ended({ trials }) {
  return (trials.succeeded ?? 0) + (trials.failed ?? 0) + (trials.cancelled ?? 0);
}

/**
 * Seconds until a sweep is over, or null where nothing tells. From its own pace: trials that ended in the time since it
 * began; those that run count half.
 * @param {any} sweep @param {number} now milliseconds
 */
export function secondsLeft(sweep, now) {
  if (sweep.state !== "running" || sweep.started_at === null) return null;
  const done = ended(sweep);
  const half = (sweep.trials.running ?? 0) / 2;
  if (done + half === 0 || done === 0) return null;
  const elapsed = (now - Date.parse(sweep.started_at)) / 1000;
  return (elapsed * (sweep.trial_count - done - half)) / (done + half);
}

/** Progress that is kept up to date, told to those who listen as well. */
export function liveProgress() {
  const words = h("p", { class: "progress-words" });
  const pace = h("p", { class: "progress-pace" });
  const spoken = h("p", { class: "unseen", role: "status", "aria-live": "polite" });
  const box = h("div", { class: "progress" });
  let drawn = null;
  let saidAt = -1;
  const update = (sweep) => {
    if (drawn === null) {
      drawn = bar(sweep);
      box.append(drawn.element, words, pace, spoken);
    }
    drawn.update(sweep);
    setText(words, sentence(sweep));
    setText(pace, paceOf(sweep));
    const tenth = Math.floor((10 * ended(sweep)) / Math.max(1, sweep.trial_count));
    if (tenth !== saidAt) setText(spoken, `${tenth * 10} per cent done, ${sweep.state}`);
    saidAt = tenth;
  };
  return { element: box, update };
}

function paceOf(sweep) {
  const parts = [];
  if (sweep.steps_per_second) parts.push(`${rate(sweep.steps_per_second)} updates/s`);
  const left = secondsLeft(sweep, Date.now());
  if (left !== null) parts.push(`about ${duration(left)} left`);
  if (sweep.pause_reason) parts.push(`paused: ${sweep.pause_reason}`);
  if (sweep.finished_at && sweep.started_at) {
    parts.push(`took ${duration((Date.parse(sweep.finished_at) - Date.parse(sweep.started_at)) / 1000)}`);
  }
  return parts.join(" · ");
}
