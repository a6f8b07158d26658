/** Go to another page of the dashboard. @param {string} address */
export function navigate(address) {
  document.dispatchEvent(new CustomEvent("navigate", { detail: address }));
}
