/** The axis of updates: linear, or the logarithm of 1 + step, on which the start has its place. */

/** @param {number} step @param {string} scale */
export function placeOf(step, scale) {
  return scale === "log" ? Math.log10(1 + step) : step;
}

/** @param {number} last the last step @param {string} scale @param {[number, number]} [shown] what is zoomed to */
export function stepAxis(last, scale, shown) {
  if (scale !== "log") return { title: "updates", rangemode: "tozero" };
  const [from, to] = shown ?? [0, Math.log10(1 + last)];
  const digits = to - from > 1.6 ? [1] : [1, 2, 5];
  const steps = from < 0.1 ? [0] : [];
  const between = [];
  for (let decade = 0; decade <= Math.ceil(to); decade += 1) {
    for (let digit = 1; digit < 10; digit += 1) (digits.includes(digit) ? steps : between).push(digit * 10 ** decade);
  }
  const within = (step) => step <= Math.max(last, 1) && placeOf(step, "log") >= from - 0.01 && placeOf(step, "log") <= to + 0.01;
  const shownSteps = steps.filter(within);
  return {
    title: "updates (log scale)",
    tickmode: "array",
    tickvals: shownSteps.map((step) => placeOf(step, "log")),
    ticktext: shownSteps.map(short),
    minor: { tickmode: "array", tickvals: between.filter(within).map((step) => placeOf(step, "log")), ticks: "outside", ticklen: 2 },
  };
}

function short(step) {
  if (step >= 1e6) return `${step / 1e6}M`;
  return step >= 1e3 ? `${step / 1e3}k` : String(step);
}
