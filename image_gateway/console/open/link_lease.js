/**
 * Keeps the lease of a share link for as long as the tab is open, so that a reload of the page, or the way from the
 * link's page to this one, does not redeem the link again.
 */

const KEY = "image-gateway.link-lease";

/** @typedef {import("./block_requests.js").LeaseDocument & { name: string, size: number }} LinkLease */

/** @param {LinkLease} lease */
export function keepLinkLease(lease) {
  sessionStorage.setItem(KEY, JSON.stringify(lease));
}

/** @returns {LinkLease | null} */
export function keptLinkLease() {
  const text = sessionStorage.getItem(KEY);
  return text === null ? null : JSON.parse(text);
}

export function forgetLinkLease() {
  sessionStorage.removeItem(KEY);
}

/**
 * Take the link's token out of the address, where it would stay in the browser's history.
 *
 * @returns {string | null} The token, or null if the address has none.
 */
export function takeLinkToken() {
  const token = decodeURIComponent(location.hash.slice(1));
  if (token === "") return null;
  history.replaceState(null, "", location.pathname);
  return token;
}
