/** Colours: Okabe and Ito's for categories, viridis for what is ordered. Both are told apart without full colour vision. */

// Their yellow is left out: it has no contrast with white.
const CATEGORIES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a6ff0", "#8c8c8c"];
// The same, lighter: on a dark page they keep their contrast.
const ON_DARK = ["#4aa3df", "#ef7d3c", "#2bbd90", "#dd9cc2", "#edb23c", "#86cbf0", "#a29bff", "#a8a8a8"];
const VIRIDIS = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
const DASHES = ["solid", "dash", "dot", "dashdot"];
/** Of points, what dashes are of lines. */
export const SYMBOLS = { solid: "circle", dash: "diamond", dot: "square", dashdot: "triangle-up" };

export const SCALE = VIRIDIS.map((colour, i) => [i / (VIRIDIS.length - 1), colour]);

/**
 * Of each series, a colour and a dash. @param {number} count @param {boolean} ordered @param {boolean} dark
 * @returns {{colour: string, dash: string}[]}
 */
export function looks(count, ordered, dark) {
  if (ordered && count > 2) {
    // The ends that vanish into the paper are left out.
    const [low, high] = dark ? [0.18, 1] : [0, 0.88];
    return Array.from({ length: count }, (_, i) => ({ colour: viridis(low + ((high - low) * i) / (count - 1)), dash: "solid" }));
  }
  return Array.from({ length: count }, (_, i) => ({
    colour: (dark ? ON_DARK : CATEGORIES)[i % CATEGORIES.length],
    dash: DASHES[Math.floor(i / CATEGORIES.length) % DASHES.length],
  }));
}

/** @param {number} share 0 to 1 */
export function viridis(share) {
  const place = Math.min(1, Math.max(0, share)) * (VIRIDIS.length - 1);
  const below = Math.min(VIRIDIS.length - 2, Math.floor(place));
  const [a, b] = [channels(VIRIDIS[below]), channels(VIRIDIS[below + 1])];
  return `#${a.map((value, i) => Math.round(value + (b[i] - value) * (place - below)).toString(16).padStart(2, "0")).join("")}`;
}

function channels(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

/** The colour, so far seen through. @param {string} colour @param {number} opacity */
export function faint(colour, opacity) {
  return `rgba(${channels(colour).join(", ")}, ${opacity})`;
}
