/**
 * Links by which anybody reads an image without an account: the form that makes one, and their revocation.
 */

import { send } from "../lib/api.js";
import { confirmed } from "../lib/dialog.js";
import { copyButton, element, errorBox, field, replace, whileBusy } from "../lib/dom.js";
import { time } from "../lib/format.js";

/** @typedef {import("../images/types.js").ShareLink} ShareLink */

const DAY = 86_400;
const LIFETIMES = { "1 hour": 3600, "1 day": DAY, "1 week": 7 * DAY, "30 days": 30 * DAY };
const DEFAULT_LIFETIME = 7 * DAY;

/**
 * Return whether a link can be redeemed, or why not.
 *
 * @param {ShareLink} link
 * @returns {"valid" | "expired" | "used up"}
 */
export function stateOf({ expiresAt, maxUses, uses }) {
  if (expiresAt !== null && Date.parse(expiresAt) <= Date.now()) return "expired";
  return maxUses !== null && uses >= maxUses ? "used up" : "valid";
}

/**
 * Return how often a link was used, and how often it may be.
 *
 * @param {ShareLink} link
 */
export function usesText({ maxUses, uses }) {
  const count = uses === 1 ? "used once" : `used ${uses} times`;
  return maxUses === null ? count : `used ${uses} of ${maxUses} times`;
}

/**
 * Return what a link is called in lists.
 *
 * @param {ShareLink} link
 */
export function nameOf({ linkId, label }) {
  const id = `Link ${linkId.slice(0, 8)}`;
  return label === null ? id : `${id} (${label})`;
}

/**
 * Return the form that makes a link; the new link is shown once.
 *
 * @param {string} imageId
 * @param {() => Promise<void>} onMade
 */
export function linkForm(imageId, onMade) {
  const options = Object.entries(LIFETIMES).map(([label, seconds]) =>
    element("option", { value: seconds, selected: seconds === DEFAULT_LIFETIME }, label),
  );
  const lifetime = element(
    "select",
    { onchange: () => showDate() },
    ...options,
    element("option", { value: "date" }, "Until a date …"),
    element("option", { value: "" }, "No end"),
  );
  const date = element("input", { type: "datetime-local", min: localMoment(new Date()) });
  const dateField = field("Until", date);
  dateField.hidden = true;
  const showDate = () => {
    dateField.hidden = lifetime.value !== "date";
    date.required = !dateField.hidden;
  };
  const uses = element("input", { type: "number", min: 1, max: 1_000_000_000, step: 1, placeholder: "no limit" });
  const label = element("input", { maxlength: 255, autocomplete: "off", placeholder: "only you see it" });
  const make = element("button", { type: "submit" }, "Make a link");
  const outcome = element("div");
  const makeLink = async () => {
    try {
      const body = {
        ttlSeconds: secondsOf(lifetime.value, date.value),
        maxUses: uses.valueAsNumber || null,
        label: label.value.trim() || null,
      };
      const link = await send("POST", `/v1/images/${imageId}/share-links`, body);
      replace(
        outcome,
        newLink(link, () => replace(outcome)),
      );
      label.value = "";
      outcome.querySelector("button")?.focus();
      await onMade();
    } catch (error) {
      replace(outcome, errorBox(error));
    }
  };
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    void whileBusy(make, makeLink);
  };
  return element(
    "form",
    { onsubmit: submit },
    element("p", { class: "quiet" }, "Whoever has the link can read the image, without an account."),
    element(
      "div",
      { class: "row" },
      field("Valid for", lifetime),
      dateField,
      field("How often it may be used", uses),
      field("Whom it is for", label),
      make,
    ),
    outcome,
  );
}

/**
 * @param {string} lifetime
 * @param {string} date
 * @returns {number | null}
 */
function secondsOf(lifetime, date) {
  if (lifetime === "date") return Math.max(1, Math.round((new Date(date).getTime() - Date.now()) / 1000));
  return lifetime ? Number(lifetime) : null;
}

/**
 * Return a moment as `datetime-local` has it, in the person's time zone.
 *
 * @param {Date} moment
 */
function localMoment(moment) {
  return new Date(moment.getTime() - moment.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/**
 * Show a new link. Only the button knows its token, and it is gone when the person is done.
 *
 * @param {ShareLink & { token: string }} link
 * @param {() => void} forget
 */
function newLink({ token, expiresAt }, forget) {
  const url = `${location.origin}/link#${token}`;
  const input = element("input", { readonly: true, value: url, class: "mono", onfocus: () => input.select() });
  const until = expiresAt ? `It is valid until ${time(expiresAt)}.` : "It has no end.";
  return element(
    "div",
    { class: "notice", role: "status" },
    element("p", {}, `Here is the link. ${until} It is shown only now: copy it before you leave.`),
    field("New link", input),
    element(
      "p",
      { class: "row" },
      copyButton("Copy the link", () => url),
      element("button", { type: "button", class: "small", onclick: forget }, "Done"),
    ),
  );
}

/**
 * Ask, and revoke a link.
 *
 * @param {string} imageId
 * @param {ShareLink} link
 * @returns {Promise<boolean>} Whether it was done.
 */
export async function revokeLink(imageId, link) {
  const isSure = await confirmed({
    title: `Revoke ${nameOf(link)}?`,
    body: [
      element("p", {}, `It was made on ${time(link.created)} and ${usesText(link)}.`),
      element("p", {}, "Nobody can read the image by it any more, and what is read just now ends within seconds."),
    ],
    confirm: "Revoke",
    danger: true,
  });
  if (isSure) await send("DELETE", `/v1/images/${imageId}/share-links/${link.linkId}`);
  return isSure;
}
