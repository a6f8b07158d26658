/** What can be done with a sweep now, as the API says. */

import { post } from "../../api.js";
import { confirmed, openDialog } from "../../components/dialog.js";
import { toast, toastError } from "../../components/toast.js";
import { fill, h } from "../../dom.js";
import { counted } from "../../format.js";
import { navigate } from "../../navigate.js";

const LABELS = { pause: "Pause", resume: "Resume", retry: "Retry failed", priority: "Priority", clone: "Clone", cancel: "Cancel" };
const DONE = { pause: "Paused", resume: "Resumed", retry: "The failed trials wait again", cancel: "Cancelled" };

/** Buttons, where they have changed. @param {HTMLElement} place @param {import("../sweep.js").SweepView} view */
export function actions(place, view) {
  const allowed = Object.keys(LABELS).filter((name) => view.sweep.allowed_actions.includes(name));
  const key = allowed.join();
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  fill(
    place,
    allowed.map((name) => h("button", { type: "button", class: name === "cancel" ? "danger" : null, on: { click: () => act(name, view) } }, LABELS[name])),
  );
}

async function act(name, view) {
  const path = `/sweeps/${view.sweep.id}`;
  try {
    if (name === "clone") {
      navigate(`/new?from=${view.sweep.id}`);
      return;
    }
    if (name === "priority") {
      await changePriority(path, view);
      return;
    }
    if (name === "cancel" && !(await sure(view))) return;
    view.update(await post(`${path}/${name}`));
    toast(`${DONE[name]}.`);
    view.dispatchEvent(new Event("reopened"));
  } catch (error) {
    toastError(error);
  }
}

function sure(view) {
  const { trials, name } = view.sweep;
  const open = (trials.queued ?? 0) + (trials.running ?? 0);
  return confirmed("Cancel this sweep?", `${counted(open, "trial")} of “${name}” will not be trained to the end. What was measured stays.`, "Cancel the sweep");
}

async function changePriority(path, view) {
  const field = h("input", { id: "priority", type: "number", min: -1000, max: 1000, value: String(view.sweep.priority), required: true });
  const body = [h("label", { for: "priority" }, "Priority, from -1000 to 1000"), field, h("p", { class: "hint" }, "Higher is claimed first, from the next claim on.")];
  if (!(await openDialog({ title: "Change the priority", body, action: "Change" }))) return;
  view.update(await post(`${path}/priority`, { priority: Number(field.value) }));
  toast("The priority is changed.");
}
