/** Tabs whose choice stands in the address. Arrows move among them, as the pattern of ARIA has it. */

import { h } from "../dom.js";

/**
 * @param {{id: string, label: string}[]} tabs @param {string} chosen @param {(id: string) => void} onChoose
 * @param {string} panelId
 */
export function tabList(tabs, chosen, onChoose, panelId) {
  const buttons = tabs.map(({ id, label }) =>
    h(
      "button",
      {
        type: "button",
        role: "tab",
        id: `tab-${id}`,
        "aria-selected": String(id === chosen),
        "aria-controls": panelId,
        tabIndex: id === chosen ? 0 : -1,
        on: { click: () => onChoose(id) },
      },
      label,
    ),
  );
  const list = h("div", { role: "tablist", class: "tabs" }, buttons);
  list.addEventListener("keydown", (event) => {
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    const next = buttons[(to + buttons.length) % buttons.length];
    next.focus();
    next.click();
  });
  return {
    list,
    /** @param {string} id */
    mark(id) {
      for (const button of buttons) {
        const own = button.id === `tab-${id}`;
        button.setAttribute("aria-selected", String(own));
        button.tabIndex = own ? 0 : -1;
        if (own) button.scrollIntoView({ block: "nearest", inline: "nearest" });
      }
    },
  };
}
