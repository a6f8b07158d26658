/** Where the dashboard begins: pages by address, the theme. */

import { Router } from "./router.js";

const page = (name) => async () => (await import(`./pages/${name}.js`)).default;

const router = new Router(
  [
    { pattern: /^\/(?:sweeps)?$/, load: page("sweeps") },
    { pattern: /^\/sweeps\/(\d+)$/, load: page("sweep") },
    { pattern: /^\/trials\/(\d+)$/, load: page("trial") },
    { pattern: /^\/compare$/, load: page("compare") },
    { pattern: /^\/queue$/, load: page("queue") },
    { pattern: /^\/sql$/, load: page("sql") },
    { pattern: /^\/new$/, load: page("new") },
    { pattern: /^/, load: page("missing") },
  ],
  document.getElementById("content"),
);

document.addEventListener("navigate", (event) => router.go(event.detail));

const dark = matchMedia("(prefers-color-scheme: dark)");
const themeButton = document.getElementById("theme");

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen === undefined ? dark.matches : chosen === "dark";
}

function showTheme() {
  themeButton.textContent = isDark() ? "Light" : "Dark";
  themeButton.setAttribute("aria-label", `Use the ${isDark() ? "light" : "dark"} theme`);
  document.dispatchEvent(new Event("theme"));
}

themeButton.addEventListener("click", () => {
  const chosen = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = chosen;
  try {
    localStorage.setItem("theme", chosen);
  } catch {
    // It holds for this page, then.
  }
  showTheme();
});
dark.addEventListener("change", showTheme);

showTheme();
router.start();
