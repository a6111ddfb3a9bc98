/**
 * What the receiver of a share link sees, without an account. The link's token is in the fragment of the address, which
 * no browser sends; it is taken out of there at once, and sent in one request only.
 */

import { downloadOffer } from "../link/download_view.js";
import { ApiError } from "../lib/api.js";
import { element, errorBox, replace, whileBusy } from "../lib/dom.js";
import { exactSize, time } from "../lib/format.js";
import { Lease } from "../open/lease.js";
import { linkLeases, redeem } from "../open/lease_requests.js";
import { forgetLinkLease, keepLinkLease, keptLinkLease, takeLinkToken } from "../open/link_lease.js";

/** @typedef {import("../open/link_lease.js").LinkLease} LinkLease */
/** @typedef {import("../open/lease_requests.js").IssuedLease} IssuedLease */

export const title = "Shared image";

/** Where a token waits to be redeemed, so that a reload of the page does not lose it. */
const TOKEN_KEY = "image-gateway.link-token";

/**
 * @param {HTMLElement} main
 * @param {import("../app.js").Parameters} parameters
 */
export async function show(main, { signal }) {
  const given = takeLinkToken();
  if (given !== null) sessionStorage.setItem(TOKEN_KEY, given);
  const token = sessionStorage.getItem(TOKEN_KEY);
  if (token !== null) return showInvitation(main, token, signal);
  const kept = keptLinkLease();
  if (kept !== null) return showKept(main, kept, signal);
  showMessage(main, "There is no link here", "Open the whole link that you were given, with everything after the #.");
}

/**
 * Links may be limited to a number of uses, so that only a person uses one up, not a program that looks at links.
 *
 * @param {HTMLElement} main
 * @param {string} token
 * @param {AbortSignal} signal
 */
function showInvitation(main, token, signal) {
  const problem = element("div");
  const button = element("button", { type: "button", class: "primary" }, "Show the image");
  const use = async () => {
    try {
      const issued = await redeem(token);
      sessionStorage.removeItem(TOKEN_KEY);
      keepLinkLease(/** @type {LinkLease} */ (issued.document));
      if (!signal.aborted) showImage(main, /** @type {LinkLease} */ (issued.document), issued, signal);
      main.querySelector("h1")?.focus();
    } catch (error) {
      if (isRefused(error)) sessionStorage.removeItem(TOKEN_KEY);
      replace(problem, errorBox(error), isRefused(error) && element("p", {}, explain(/** @type {ApiError} */ (error))));
      button.hidden = isRefused(error);
    }
  };
  button.addEventListener("click", () => void whileBusy(button, use));
  replace(
    main,
    element(
      "div",
      { class: "card narrow" },
      element("div", { class: "head" }, element("h1", {}, "Somebody shares a disk image with you")),
      element("p", {}, "You need no account. If the link may only be used a number of times, this is one of them."),
      problem,
      button,
    ),
  );
}

/**
 * @param {HTMLElement} main
 * @param {LinkLease} kept
 * @param {AbortSignal} signal
 */
async function showKept(main, kept, signal) {
  try {
    const renewed = await linkLeases().renew(kept);
    const link = { ...kept, ...renewed.document };
    keepLinkLease(link);
    if (!signal.aborted) showImage(main, link, renewed, signal);
  } catch (error) {
    if (isRefused(error)) forgetLinkLease();
    const retry = () => void showKept(main, kept, signal);
    const advice = element("p", {}, "Open the link again. If that does not help, ask for a new one.");
    showMessage(
      main,
      "The access by this link has ended",
      "",
      errorBox(error, isRefused(error) ? undefined : retry),
      advice,
    );
  }
}

/**
 * @param {HTMLElement} main
 * @param {LinkLease} link
 * @param {IssuedLease} issued
 * @param {AbortSignal} signal
 */
function showImage(main, link, issued, signal) {
  document.title = `${link.name} – image-gateway`;
  const ended = element("div", { role: "alert" });
  const lease = new Lease(issued, linkLeases(), {
    onRenewed: (renewed) => keepLinkLease({ ...link, ...renewed }),
    onEnded: (error) => replace(ended, errorBox(error)),
  });
  signal.addEventListener("abort", () => lease.stop());
  const wake = () => lease.check();
  for (const event of ["online", "focus"]) window.addEventListener(event, wake, { signal });
  const { button, place } = downloadOffer(link, lease, signal);
  replace(
    main,
    element(
      "div",
      { class: "card narrow" },
      element("div", { class: "head" }, element("h1", { tabindex: "-1" }, link.name)),
      element("p", { class: "quiet" }, "A disk image that somebody shares with you."),
      element(
        "dl",
        { class: "facts" },
        ...fact("Size", exactSize(link.size)),
        ...fact("You can read it until", time(link.sessionEndsAt)),
      ),
      ended,
      element(
        "p",
        { class: "row actions" },
        button,
        element("a", { class: "button", href: "/open" }, "Open in an emulator"),
      ),
      place,
      element(
        "p",
        { class: "quiet small-text" },
        "This page remembers the access until you close the tab. Opening the link anew counts as another use of it.",
      ),
    ),
  );
}

/**
 * @param {string} name
 * @param {string} value
 */
function fact(name, value) {
  return [element("dt", {}, name), element("dd", {}, value)];
}

/**
 * @param {HTMLElement} main
 * @param {string} heading
 * @param {string} text
 * @param {...HTMLElement} more
 */
function showMessage(main, heading, text, ...more) {
  const head = element("div", { class: "head" }, element("h1", {}, heading));
  replace(main, element("div", { class: "card narrow" }, head, text && element("p", {}, text), ...more));
}

/**
 * Return whether the gateway has refused for good.
 *
 * @param {unknown} error
 */
function isRefused(error) {
  return error instanceof ApiError && [400, 401, 403, 404].includes(error.status);
}

/** @param {ApiError} error */
function explain({ status }) {
  if (status === 404) return "No link has this address. Perhaps a part of it is missing, or the image was deleted.";
  if (status === 403) return "It has expired, was revoked, or was used as often as it may be. Ask for a new one.";
  return "";
}
