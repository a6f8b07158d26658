/** Name, tags and notes of a sweep, which can be edited. */

import { Disconnected, json, Problem, request } from "../../api.js";
import { word } from "../../charts/brushes.js";
import { openDialog } from "../../components/dialog.js";
import { toast, toastError } from "../../components/toast.js";
import { fill, h } from "../../dom.js";

/** Tags and notes, where there are any. @param {import("../sweep.js").SweepView} view */
export function labels(view) {
  const place = h("div", { class: "labels" });
  const show = () => {
    const { tags, notes } = view.sweep;
    const key = JSON.stringify([tags, notes]);
    if (place.dataset.key === key) return;
    place.dataset.key = key;
    place.hidden = tags.length === 0 && !notes;
    fill(
      place,
      tags.map((tag) => h("a", { class: "tag", href: `/sweeps?${new URLSearchParams({ filter: `tag = ${word(tag)}` })}` }, tag)),
      notes && h("span", { class: "notes" }, notes),
    );
  };
  show();
  view.addEventListener("progress", show);
  return place;
}

/** @param {import("../sweep.js").SweepView} view */
export function editButton(view) {
  return h("button", { type: "button", class: "quiet", title: "Name, tags and notes", on: { click: () => edit(view) } }, "Edit");
}

async function edit(view) {
  const { id } = view.sweep;
  try {
    const answer = await fetchWithTag(id);
    const { sweep, etag } = answer;
    const name = h("input", { id: "edit-name", type: "text", value: sweep.name, required: true });
    const tags = h("input", { id: "edit-tags", type: "text", value: sweep.tags.join(" ") });
    const notes = h("textarea", { id: "edit-notes", rows: 4, value: sweep.notes ?? "" });
    const body = [
      h("label", { for: "edit-name" }, "Name"), name,
      h("label", { for: "edit-tags" }, "Tags, with spaces between"), tags,
      h("label", { for: "edit-notes" }, "Notes"), notes,
    ];
    const save = () => {
      const wanted = { name: name.value.trim(), notes: notes.value.trim() || null };
      if (tags.value !== sweep.tags.join(" ")) wanted.tags = tags.value.split(/[\s,]+/).filter(Boolean);
      return json(`/sweeps/${id}`, { method: "PATCH", body: wanted, headers: { "If-Match": etag } });
    };
    const edited = await untilSaved(body, save);
    if (edited === null) return;
    view.update(edited);
    toast("Saved.");
  } catch (error) {
    toastError(error instanceof Problem && error.status === 412 ? new Error("Somebody has edited it meanwhile: open the form again") : error);
  }
}

/** Show the form until what is in it is saved, or not wanted: what was written outlasts a server that is away. */
async function untilSaved(body, save) {
  while (await openDialog({ title: "Edit the sweep", body, action: "Save" })) {
    try {
      return await save();
    } catch (error) {
      if (!(error instanceof Disconnected)) throw error;
      toastError(error);
    }
  }
  return null;
}

async function fetchWithTag(id) {
  const answer = await request(`/sweeps/${id}`);
  return { sweep: await answer.json(), etag: answer.headers.get("ETag") };
}
