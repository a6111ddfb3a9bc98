/**
 * What the pages of one image have in common: where they are, the name, and the way to each other.
 */

import { element, stateBadge } from "../lib/dom.js";

/** @typedef {import("../images/types.js").Image} Image */

/**
 * Return the head of a page: Open, and the pages that the person may see.
 *
 * @param {Image} image
 * @param {"" | "share" | "activity"} current The page, as the end of its path.
 * @returns {HTMLElement[]}
 */
export function imageHead(image, current) {
  const path = `/images/${image.imageId}`;
  /** @param {"" | "share" | "activity"} page @param {string} label */
  const tab = (page, label) =>
    element("a", { href: page ? `${path}/${page}` : path, "aria-current": page === current && "page" }, label);
  const isOwner = image.access === "owner";
  const open = { class: "button primary", href: `/open/${image.imageId}`, target: "_blank", rel: "noopener" };
  return [
    element("nav", { class: "crumbs", "aria-label": "Breadcrumb" }, element("a", { href: "/" }, "Images")),
    element(
      "div",
      { class: "head" },
      element("div", { class: "title" }, element("h1", {}, image.name), stateBadge(image.state)),
      image.state === "complete" && element("a", open, "Open"),
    ),
    element(
      "nav",
      { class: "tabs", "aria-label": "Pages of the image" },
      tab("", "Overview"),
      isOwner && tab("share", "Share"),
      isOwner && tab("activity", "Activity"),
    ),
  ];
}

/**
 * Return a section of a page.
 *
 * @param {string} heading
 * @param {...import("../lib/dom.js").Child} content
 */
export function section(heading, ...content) {
  return element("section", { class: "card" }, element("h2", {}, heading), ...content);
}
