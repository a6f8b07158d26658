/** What happened: as it is told while the page is open, and before. */

import { page as readPage } from "../../api.js";
import { failure, loading } from "../../components/states.js";
import { dataTable } from "../../components/table.js";
import { toastError } from "../../components/toast.js";
import { connection } from "../../connection.js";
import { fill, framed, h, setText } from "../../dom.js";
import { LISTENS } from "../../events.js";
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
  const again = readBefore(before, view.sweep.id, signal);
  view.addEventListener("live", ({ detail }) => LISTENS.includes(detail) && again(), { signal });
  connection.addEventListener("restored", again, { signal });
}

function rowProps(event) {
  return { data: { event: String(event.id) } };
}

/** Pages of events from the beginning. Returns what reads the last of them again: it may have been read too early. */
function readBefore(place, id, signal) {
  const read = [];
  let reading = Promise.resolve();
  const last = () => read.at(-1)?.cursor ?? null;
  const again = () => {
    reading = reading.then(() => readPages(last()));
  };
  const more = (cursor) => {
    reading = reading.then(() => readPages(cursor, toastError));
  };
  const readPages = async (cursor, refused = () => {}) => {
    try {
      const { items, next_cursor: next } = await readPage(`/sweeps/${id}/events`, { limit: LIMIT, cursor }, signal);
      const known = read.findIndex((page) => page.cursor === cursor);
      read.splice(known < 0 ? read.length : known, 1, { cursor, items });
      const rows = read.flatMap((page) => page.items);
      fill(place, dataTable({ caption: "Events from the beginning", columns: COLUMNS, rows, rowProps }), next && h("button", { type: "button", class: "more", on: { click: () => more(next) } }, "Show more"));
    } catch (error) {
      if (signal.aborted) return;
      if (read.length === 0) fill(place, failure(error, again));
      else refused(error);
    }
  };
  again();
  return again;
}
