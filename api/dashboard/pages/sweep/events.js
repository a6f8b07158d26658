/** What happened: as it is told while the page is open, and before. */

import { page as readPage } from "../../api.js";
import { failure, loading } from "../../components/states.js";
import { dataTable } from "../../components/table.js";
import { fill, framed, h, setText } from "../../dom.js";
import { counted, moment, told } from "../../format.js";

const LIMIT = 100;

const COLUMNS = [
  { key: "at", label: "At", cell: (event) => moment(event.at) },
  { key: "kind", label: "Event", cell: (event) => h("code", {}, event.kind) },
  { key: "trial_id", label: "Trial", numeric: true, cell: (event) => (event.trial_id === null ? "" : h("a", { href: `/trials/${event.trial_id}` }, event.trial_id)) },
  { key: "pack_id", label: "Pack", numeric: true, cell: (event) => event.pack_id ?? "" },
  { key: "actor", label: "By", spare: true, cell: (event) => event.actor ?? "" },
  { key: "detail", label: "Detail", cell: (event) => h("span", { class: "detail" }, told(event.detail)) },
];

/** @param {HTMLElement} panel @param {import("../sweep.js").SweepView} view @param {AbortSignal} signal */
export function eventsTab(panel, view, signal) {
  const count = h("h2", {});
  const live = h("div", { class: "told" });
  const since = h("section", { hidden: view.over }, count, live);
  const before = h("div", {}, loading(6, "Loading events"));
  panel.append(since, h("section", {}, h("h2", {}, "From the beginning"), before));
  const show = framed(() => {
    setText(count, view.toldCount === 0 ? "Nothing has happened yet since this page was opened" : `${counted(view.toldCount, "event")} since this page was opened`);
    count.dataset.count = String(view.toldCount);
    since.hidden = view.over && view.toldCount === 0;
    if (view.told.length > 0) fill(live, dataTable({ caption: "Events since the page was opened, the last first", columns: COLUMNS, rows: view.told.slice(0, LIMIT), rowProps }));
  });
  show();
  view.addEventListener("event", show, { signal });
  readBefore(before, view.sweep.id, signal);
}

function rowProps(event) {
  return { data: { event: String(event.id) } };
}

async function readBefore(place, id, signal) {
  const events = [];
  const more = async (cursor) => {
    try {
      const found = await readPage(`/sweeps/${id}/events`, { limit: LIMIT, cursor }, signal);
      events.push(...found.items);
      const next = found.next_cursor;
      fill(place, dataTable({ caption: "Events from the beginning", columns: COLUMNS, rows: events }), next && h("button", { type: "button", class: "more", on: { click: () => more(next) } }, "Show more"));
    } catch (error) {
      if (!signal.aborted) fill(place, failure(error, () => more(cursor)));
    }
  };
  await more(null);
}
