/** A spec is written here: what is wrong stands at its line, what it would cost beside it, as it is written. */

import { Disconnected, json, Problem, request, url } from "../api.js";
import { failure, loading, said } from "../components/states.js";
import { toast, toastError } from "../components/toast.js";
import { download } from "../data/csv.js";
import { keep, kept } from "../data/storage.js";
import { yamlOf } from "../data/yaml.js";
import { fill, h, settled } from "../dom.js";
import { counted, duration, size, whole } from "../format.js";
import { navigate } from "../navigate.js";
import { token } from "../token.js";
import { SpecEditor } from "./new/editor.js";
import { shortSpec } from "./sweep/spec.js";

const EXAMPLE = `name: feedback-scale
base:
  data: {name: digits}
  model: {hidden: [64, 64], activation: tanh}
  train: {lr: 0.001, batch_size: 32, epochs: 20}
grid:
  rule.name: [bp, fa, dfa]
when:
  - if: {rule.name: [fa, dfa]}
    grid:
      rule.feedback.scale: [0.1, 1.0]
seeds: {count: 5}
`;

/** @param {import("../router.js").Visit} visit */
export default async function newSweep({ place, signal, title }) {
  title("New sweep");
  const plan = h("aside", { class: "plan", "aria-label": "Plan", "aria-live": "polite" }, loading(5, "Planning"));
  const submit = h("button", { type: "submit", class: "primary", disabled: true }, "Submit");
  const afresh = h("button", { type: "button", hidden: true, title: "Leave what was written, and begin as this page does" }, "Start afresh");
  const editor = new SpecEditor();
  const form = h("form", {}, h("label", { for: editor.id }, "Spec, as YAML or JSON"), editor.element, h("div", { class: "form-end" }, submit, afresh, h("p", { class: "hint" }, "What is left out has its default. What may be said, and what it means: ", schemaLink(), ".")));
  place.append(h("div", { class: "page-head" }, h("h1", {}, "New sweep")), h("div", { class: "columns new-columns" }, form, plan));
  const from = Number(new URLSearchParams(location.search).get("from"));
  const draft = `alignsweep-draft-${from}`; // of each sweep that one begins with, its own
  let asked = new AbortController();
  let key = randomKey();
  const check = async () => {
    asked.abort();
    asked = new AbortController();
    const ok = await validate(editor, plan, AbortSignal.any([asked.signal, signal]), check);
    if (ok !== null) submit.disabled = !ok;
  };
  const later = settled(350, check);
  editor.onInput = () => {
    key = randomKey();
    keep(draft, editor.text);
    afresh.hidden = false;
    submit.disabled = true;
    later();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(editor, plan, { submit, key, draft });
  });
  const begin = async () => {
    try {
      editor.text ||= kept(draft) ?? (await firstText(from, signal));
      afresh.hidden = kept(draft) === null;
    } catch (error) {
      if (!signal.aborted) fill(plan, failure(error, begin));
      return;
    }
    await check();
  };
  afresh.addEventListener("click", () => {
    keep(draft, null);
    editor.text = "";
    begin();
  });
  await begin();
}

/** The spec of another sweep, or an example. */
async function firstText(from, signal) {
  if (!from) return EXAMPLE;
  const { spec } = await json(`/sweeps/${from}`, { signal });
  return yamlOf(await shortSpec(spec, signal));
}

/** The schema of specs; the browser alone would send no token. */
function schemaLink() {
  const keepIt = async (event) => {
    if (token() === null) return;
    event.preventDefault();
    try {
      download("spec-schema.json", await (await request("/schema")).blob());
    } catch (error) {
      toastError(error);
    }
  };
  return h("a", { href: url("/schema"), target: "_blank", on: { click: keepIt } }, "the schema of specs");
}

/** Whether it may be submitted; null where the question was overtaken. */
async function validate(editor, plan, signal, again) {
  try {
    const answer = await ask(editor.text, { query: { dry_run: true }, signal });
    editor.mark([]);
    showPlan(plan, await answer.json(), editor);
    return true;
  } catch (error) {
    if (signal.aborted) return null;
    if (!(error instanceof Problem) || error.status !== 422) {
      fill(plan, failure(error, again));
      return false;
    }
    editor.mark(error.errors);
    fill(plan, h("h2", {}, counted(error.errors.length, "problem")), problems(error.errors, editor));
    return false;
  }
}

function ask(text, options) {
  return request("/sweeps", { method: "POST", text, type: "application/yaml", ...options });
}

function problems(errors, editor) {
  return h(
    "ol",
    { class: "problem-list" },
    errors.map(({ line, column, message, hint, pointer }) =>
      h("li", {}, h("button", { type: "button", class: "link", on: { click: () => editor.goTo(line ?? 1, column ?? 1) } }, line ? `Line ${line}` : pointer || "The spec"), `: ${message}`, hint && h("span", { class: "hint" }, ` — ${hint}`)),
    ),
  );
}

function showPlan(place, { plan, warnings }, editor) {
  const { estimate } = plan;
  const facts = [
    ["trials", whole(plan.trials)],
    ["configurations", whole(plan.groups)],
    ["packs", whole(plan.packs)],
    ["updates, of all trials", whole(plan.model_steps)],
    ["trace rows", whole(plan.trace_rows + plan.metric_rows)],
    ["in the database", size(plan.bytes_estimate)],
    ["time", estimate.seconds === null ? (estimate.worker_seconds === null ? "unknown" : `${duration(estimate.worker_seconds)} of one worker`) : `${estimate.seconds < 1 ? "" : "about "}${duration(estimate.seconds)} on ${counted(estimate.workers, "worker")}`],
  ];
  editor.mark(warnings, "warning");
  fill(
    place,
    h("h2", {}, "Plan"),
    h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    plan.branches.length > 0 && h("ul", { class: "branches" }, plan.branches.map((branch) => h("li", {}, `${branch.condition ?? "otherwise"}: ${counted(branch.trials, "trial")}`))),
    warnings.length > 0 && [h("h3", {}, counted(warnings.length, "warning")), problems(warnings, editor)],
    estimate.basis && h("p", { class: "hint" }, `The time: ${estimate.basis}.`),
  );
}

/** `key`: one per text of this visit, so that what is sent twice is one sweep. */
async function send(editor, plan, { submit, key, draft }) {
  submit.disabled = true;
  try {
    const answer = await ask(editor.text, { headers: { "Idempotency-Key": key } });
    const sweep = await answer.json();
    keep(draft, null);
    toast(`Submitted ${counted(sweep.trial_count, "trial")}.`);
    navigate(`/sweeps/${sweep.id}`);
  } catch (error) {
    submit.disabled = false;
    if (error instanceof Problem && error.status === 422) editor.mark(error.errors);
    fill(plan, failure(error));
    toast(error instanceof Disconnected ? "The server went away before it answered. Submit again: if it has the sweep already, it makes no other." : said(error));
  }
}

/** `crypto.randomUUID` is there in secure contexts alone, and a server in the next room is none. */
function randomKey() {
  return `dashboard-${Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
