/** The plotting library, loaded when the first chart is made, dressed as the rest of the page. */

let loading = null;

/** @returns {Promise<any>} */
export function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = document.querySelector('meta[name="plotly"]').content;
    script.addEventListener("load", () => resolve(window.Plotly));
    script.addEventListener("error", () => {
      loading = null;
      script.remove();
      reject(new Error("The plotting library could not be loaded"));
    });
    document.head.append(script);
  });
  return loading;
}

/** The page's colours, by name, as they are now. */
export function colours() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  return { text: read("--text"), muted: read("--muted"), rule: read("--rule"), paper: read("--paper"), raised: read("--raised") };
}

export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen === undefined ? matchMedia("(prefers-color-scheme: dark)").matches : chosen === "dark";
}

/** What all charts share. @param {any} layout */
export function dressed(layout) {
  const { text, muted, rule, raised } = colours();
  const axes = {};
  for (const [name, axis] of Object.entries(layout)) {
    if (/^[xy]axis\d*$/.test(name)) {
      axes[name] = { gridcolor: rule, zeroline: false, linecolor: rule, tickcolor: rule, ticks: "outside", ticklen: 4, tickfont: { color: muted, size: 11 }, automargin: false, ...axis };
      if (typeof axis.title === "string") axes[name].title = { text: axis.title, font: { color: muted, size: 12 }, standoff: 8 };
    }
  }
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 12, color: text },
    margin: { l: 56, r: 12, t: 24, b: 44 },
    showlegend: false,
    hovermode: "closest",
    hoverlabel: { bgcolor: raised, bordercolor: rule, font: { color: text, size: 12 } },
    ...layout,
    ...axes,
  };
}
