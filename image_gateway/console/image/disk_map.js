/**
 * Draws how a disk is divided, to scale, and lists it in a table.
 */

import { element, svg, table } from "../lib/dom.js";
import { exactSize, size as sizeText } from "../lib/format.js";

/** @typedef {import("./partitions.js").Layout} Layout */
/** @typedef {import("./partitions.js").Partition} Partition */

const COLOURS = 6;
/** Per cent of the width: below it a partition is a line, and has no room for its number. */
const LEAST_WIDTH = 0.3;
const LABEL_WIDTH = 3;

/**
 * Return the layout as a sentence.
 *
 * @param {Layout} layout
 */
export function describeLayout({ table: kind, sector, partitions, filesystem }) {
  const whole = filesystem && describeFilesystem(filesystem);
  if (kind === null) {
    if (whole) return `The disk is not partitioned. It is one volume: ${whole}.`;
    return "There is neither a partition table nor a file system that is known here. The disk may be empty.";
  }
  const count = partitions.length === 1 ? "one partition" : `${partitions.length} partitions`;
  const also = whole ? ` As a whole it is a volume, too: ${whole}.` : "";
  return `${kind} with ${count}, in sectors of ${sector} bytes.${also}`;
}

/** @param {import("./filesystems.js").Filesystem} filesystem */
function describeFilesystem({ type, label }) {
  return label ? `${type}, “${label}”` : type;
}

/**
 * Return the drawing: each partition where it lies.
 *
 * @param {Layout} layout
 * @param {number} size Of the disk, in bytes.
 */
export function drawMap({ partitions }, size) {
  const shapes = partitions.flatMap((partition, index) => drawPartition(partition, index, size));
  const description = `Map of the disk: ${partitions.length} partitions, listed in the table below`;
  return svg("svg", { class: "disk-map", role: "img", "aria-label": description }, ...shapes);
}

/**
 * @param {Partition} partition
 * @param {number} index
 * @param {number} size
 */
function drawPartition(partition, index, size) {
  const from = Math.min(partition.start, size);
  const to = Math.min(Math.max(partition.start + partition.size, from), size);
  if (from >= size) return [];
  const x = (100 * from) / size;
  const width = Math.max((100 * (to - from)) / size, LEAST_WIDTH);
  const place = { x: `${x}%`, width: `${width}%` };
  if (partition.isContainer) return [svg("rect", { ...place, y: "0", height: "100%", class: "container" })];
  const bar = svg("rect", { ...place, y: "10%", height: "80%", rx: "2", class: `part part-${index % COLOURS}` });
  const label = svg("text", { x: `${x + width / 2}%`, y: "50%" }, String(partition.number));
  return width < LABEL_WIDTH ? [bar] : [bar, label];
}

/**
 * Return the table of the partitions.
 *
 * @param {Layout} layout
 */
export function partitionTable({ partitions }) {
  const indexes = new Map(partitions.map((partition, index) => [partition, index % COLOURS]));
  return table(
    "Partitions",
    [
      {
        label: "Partition",
        cell: (one) => [
          !one.isContainer && element("span", { class: `swatch part-${indexes.get(one)}`, "aria-hidden": "true" }),
          `${one.number}`,
        ],
      },
      { label: "Type", cell: (one) => typeText(one) },
      { label: "Name", cell: ({ name }) => name || "–" },
      { label: "File system", cell: ({ filesystem }) => (filesystem ? describeFilesystem(filesystem) : "–") },
      {
        label: "Begins at",
        class: "number",
        cell: ({ start }) => element("span", { title: exactSize(start) }, sizeText(start)),
      },
      {
        label: "Size",
        class: "number",
        cell: ({ size }) => element("span", { title: exactSize(size) }, sizeText(size)),
      },
    ],
    partitions,
  );
}

/** @param {Partition} partition */
function typeText({ type, isActive, isLogical }) {
  return [type, isLogical && "logical", isActive && "active"].filter(Boolean).join(", ");
}
