/** Server-sent events from the text of a stream, as the HTML standard reads them. */

/** @typedef {{kind: string, data: string, id: string | null}} Sent */

export class Parser {
  constructor() {
    this.rest = "";
    /** The last id that the stream named. @type {string | null} */
    this.lastId = null;
  }

  /** What is whole now. @param {string} text @returns {Sent[]} */
  push(text) {
    const all = this.rest + text;
    const end = all.endsWith("\r") ? all.length - 1 : all.length; // the other half of the line's end may be yet to come
    const blocks = all.slice(0, end).replaceAll("\r\n", "\n").split("\n\n");
    this.rest = blocks.pop() + all.slice(end);
    return blocks.map((block) => this.#read(block)).filter((sent) => sent !== null);
  }

  #read(block) {
    let kind = "message";
    const data = [];
    for (const line of block.split("\n")) {
      const colon = line.indexOf(":");
      if (colon === 0) continue;
      const name = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (name === "event") kind = value;
      else if (name === "data") data.push(value);
      else if (name === "id") this.lastId = value;
    }
    return data.length === 0 ? null : { kind, data: data.join("\n"), id: this.lastId };
  }
}
