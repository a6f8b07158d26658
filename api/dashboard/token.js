/** The token that the server asks for, kept for this tab alone. */

import { signedIn, signedOut } from "./connection.js";
import { keep, kept } from "./data/storage.js";
import { h } from "./dom.js";
import { openDialog } from "./components/dialog.js";

const KEY = "alignsweep-token";

/** @returns {string | null} */
export function token() {
  return kept(KEY);
}

/** Headers of a request. @param {Record<string, string>} [more] */
export function authorised(more = {}) {
  const secret = token();
  return secret === null ? more : { ...more, Authorization: `Bearer ${secret}` };
}

let asking = null;
let declined = false;

/**
 * Ask for a token; all who need one wait for the same answer. Who gives none is not asked again until they wish.
 * @param {string | null} used the token that was refused @returns {Promise<boolean>} whether there is another
 */
export async function askForToken(used) {
  if (token() !== used) return true;
  if (!declined) {
    asking ??= ask().finally(() => {
      asking = null;
    });
    declined = !(await asking);
  }
  if (declined) signedOut(giveToken);
  return !declined;
}

async function giveToken() {
  declined = false;
  if (await askForToken(token())) signedIn();
}

async function ask() {
  const field = h("input", { type: "password", id: "token", autocomplete: "off", required: true, spellcheck: false });
  const refused = token() !== null;
  const given = await openDialog({
    title: "This server asks for a token",
    body: [
      refused && h("p", { class: "problem-line" }, "The token was refused: it may have expired."),
      h("label", { for: "token" }, "Token"),
      field,
      h("p", { class: "hint" }, "From ", h("code", {}, "alignsweep token create"), ". It is kept until this tab is closed."),
    ],
    action: "Go on",
  });
  if (!given || field.value.trim() === "") return false;
  keep(KEY, field.value.trim());
  return true;
}
