/** For addresses that show nothing. */

import { h } from "../dom.js";

/** @param {import("../router.js").Visit} visit */
export default function missing({ place, title }) {
  title("Not found");
  place.append(h("h1", {}, "There is nothing here"), h("p", {}, h("a", { href: "/sweeps" }, "All sweeps")));
}
