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
    this.rest += text.replaceAll("\r\n", "\n");
    const blocks = this.rest.split("\n\n");
    this.rest = blocks.pop();
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
