/** What waits, what runs, and who works on it. */

import { json } from "../api.js";
import { badge } from "../components/progress.js";
import { empty, failure, loading } from "../components/states.js";
import { dataTable } from "../components/table.js";
import { poll } from "../data/polling.js";
import { fill, h } from "../dom.js";
import { age, whole } from "../format.js";

/** @param {import("../router.js").Visit} visit */
export default function queuePage({ place, signal, title }) {
  title("Queue");
  const [queue, workers] = [h("div", {}, loading(4, "Loading the queue")), h("div", {}, loading(3, "Loading workers"))];
  place.append(h("div", { class: "page-head" }, h("h1", {}, "Queue and workers")), h("section", {}, h("h2", {}, "Queue"), queue), h("section", {}, h("h2", {}, "Workers"), workers));
  const shown = { queue: "", workers: "" };
  const again = poll(async () => {
    try {
      const [waiting, working] = await Promise.all([json("/queue", { signal }), json("/workers", { signal })]);
      update(queue, shown, "queue", waiting.items, queueTable);
      update(workers, shown, "workers", working.items, workerTable);
    } catch (error) {
      signal.throwIfAborted();
      if (shown.queue === "") fill(queue, failure(error, again));
    }
    return 3000;
  }, signal);
}

function update(place, shown, name, items, draw) {
  const text = JSON.stringify(items);
  if (text === shown[name]) return;
  shown[name] = text;
  fill(place, draw(items));
}

function queueTable(items) {
  if (items.length === 0) return empty("Nothing waits and nothing runs.", h("a", { href: "/new" }, "Write a sweep"));
  const rows = [...items].sort((a, b) => b.priority - a.priority || a.sweep_id - b.sweep_id);
  const columns = [
    { key: "sweep", label: "Sweep", cell: (entry) => [h("a", { href: `/sweeps/${entry.sweep_id}`, class: "strong" }, entry.sweep), h("span", { class: "id" }, ` ${entry.sweep_id}`)] },
    { key: "state", label: "State", cell: (entry) => badge(entry.sweep_state) },
    { key: "priority", label: "Priority", numeric: true, cell: (entry) => String(entry.priority) },
    { key: "queued", label: "Waiting", numeric: true, cell: (entry) => whole(entry.queued) },
    { key: "running", label: "Running", numeric: true, cell: (entry) => whole(entry.running) },
    { key: "packs", label: "Packs", numeric: true, cell: (entry) => whole(entry.packs) },
    { key: "oldest", label: "Oldest", cell: (entry) => (entry.oldest_queued_at ? age(entry.oldest_queued_at) : "–") },
  ];
  return [dataTable({ caption: "Queue", columns, rows }), h("p", { class: "chart-note" }, "Higher priority is claimed first; then the owner with the least running, then age.")];
}

function workerTable(items) {
  if (items.length === 0) return empty("No worker is here.", "Trials wait until one is: ", h("code", {}, "alignsweep up"), " starts some.");
  const columns = [
    { key: "name", label: "Worker", cell: (worker) => worker.name },
    { key: "node", label: "Node", cell: (worker) => worker.node },
    { key: "cpu", label: "CPUs", numeric: true, cell: (worker) => String(worker.cpu) },
    { key: "gpu", label: "GPUs", numeric: true, cell: (worker) => String(worker.gpu) },
    { key: "pack", label: "Trains", cell: (worker) => (worker.pack_id === null ? "idle" : `pack ${worker.pack_id}`) },
    { key: "seen", label: "Seen", cell: (worker) => age(worker.seen_at) },
    { key: "dispatcher", label: "Dispatcher", cell: (worker) => h("code", {}, worker.dispatcher) },
  ];
  return dataTable({ caption: "Workers", columns, rows: items });
}
