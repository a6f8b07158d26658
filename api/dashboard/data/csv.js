/** What the text of a formula may begin with; numbers begin with a sign as well. */
const FORMULA = /^[=+\-@\t\r]/;
const NUMBER = /^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?$/;

/** CSV as RFC 4180 has it; text that a spreadsheet would take for a formula is marked as text. @param {string[]} columns @param {any[][]} rows */
export function csvOf(columns, rows) {
  const cell = (value) => {
    const text = harmless(value === null || value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value));
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

/** @param {string} text */
function harmless(text) {
  return FORMULA.test(text) && !NUMBER.test(text) ? `'${text}` : text;
}

/** Offer a file to be kept. @param {string} name @param {Blob | string} content @param {string} [type] */
export function download(name, content, type = "text/csv") {
  const blob = content instanceof Blob ? content : new Blob([content], { type });
  const address = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
