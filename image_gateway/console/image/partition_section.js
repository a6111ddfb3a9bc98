/**
 * The section of the page Image that shows how the disk is divided.
 */

import { element, errorBox, replace } from "../lib/dom.js";
import { describeLayout, drawMap, partitionTable } from "./disk_map.js";
import { section } from "./head.js";
import { readLayout } from "./partitions.js";

/** @typedef {import("../images/types.js").Image} Image */

/**
 * Return the section; it reads the disk at once, or when an admin asks for it, whose reads are audited.
 *
 * @param {Image} image
 * @param {import("./stream.js").ImageStream} stream
 * @returns {HTMLElement}
 */
export function partitionSection(image, stream) {
  const body = element("div");
  const read = async () => {
    replace(body, element("p", { class: "quiet" }, "Reading the disk …"));
    try {
      await show(body, image.size ?? 0, stream);
    } catch (error) {
      if (!stream.signal.aborted)
        replace(
          body,
          errorBox(error, () => void read()),
        );
    }
  };
  if (image.access === "admin") {
    const button = element("button", { type: "button", onclick: () => void read() }, "Read the partition table");
    replace(body, element("p", { class: "quiet" }, "What admins read is written to the audit log."), button);
  } else void read();
  return section("Partitions", body);
}

/**
 * @param {HTMLElement} body
 * @param {number} size
 * @param {import("./stream.js").ImageStream} stream
 */
async function show(body, size, stream) {
  const layout = await readLayout((start, length) => stream.read(start, length), size);
  const { partitions, problems } = layout;
  replace(
    body,
    element("p", {}, describeLayout(layout)),
    problems.length > 0 && problemList(problems),
    partitions.length > 0 && drawMap(layout, size),
    partitions.length > 0 && partitionTable(layout),
  );
}

/** @param {string[]} problems */
function problemList(problems) {
  return element(
    "div",
    { class: "notice" },
    element("p", {}, "The table has problems:"),
    element("ul", {}, ...problems.map((problem) => element("li", {}, problem))),
  );
}
