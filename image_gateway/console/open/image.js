/**
 * Finds out which image the address names, and by what right it is read.
 */

import { ApiError, get } from "../lib/api.js";
import { Lease } from "./lease.js";
import { listDeltas } from "./keep_choice.js";
import { linkLeases, redeem, sessionLeases } from "./lease_requests.js";
import { forgetLinkLease, keepLinkLease, keptLinkLease } from "./link_lease.js";

const CD_MARK_AT = 32_769;
const CD_MARK = "CD001";

/** By the `access` of the image's record: who may make deltas of it. */
const MAY_WRITE = ["owner", "writer"];

/**
 * @typedef {object} OpenedImage
 * @property {string} imageId
 * @property {string} name
 * @property {number} size Bytes.
 * @property {"disk" | "iso"} kind
 * @property {boolean} isByLink
 * @property {{ href: string, label: string }} page The page about the image.
 * @property {() => Promise<import("./keep_choice.js").DeltaDocument[] | null>} deltas Returns those that can keep what
 *   a machine writes; null for a person who may make none.
 * @property {(listener: import("./lease.js").LeaseListener) => Promise<Lease>} lease Returns a lease to read it with.
 */

/** The address names no image, or one that cannot be opened; the message says why. */
export class NothingToOpen extends Error {
  /**
   * @param {string} message
   * @param {string} [code]
   */
  constructor(message, code = "") {
    super(message);
    this.name = "NothingToOpen";
    this.code = code;
  }
}

/**
 * Find an image of a signed-in person.
 *
 * @param {string} imageId
 * @returns {Promise<OpenedImage>}
 */
export async function findOwnImage(imageId) {
  const image = await get(`/v1/images/${encodeURIComponent(imageId)}`);
  if (image.state !== "complete") {
    throw new NothingToOpen(`The image ${image.name} cannot be opened: its state is “${image.state}”.`);
  }
  if (!image.size) throw new NothingToOpen(`The image ${image.name} is empty.`);
  const requests = sessionLeases(image.imageId);
  return {
    imageId: image.imageId,
    name: image.name,
    size: image.size,
    kind: image.kind,
    isByLink: false,
    page: { href: `/images/${image.imageId}`, label: "About this image" },
    deltas: async () => (MAY_WRITE.includes(image.access) ? listDeltas(image.imageId) : null),
    lease: async (listener) => new Lease(await requiredMake(requests)(), requests, listener),
  };
}

/**
 * Find the image of a share link; the link is redeemed, which counts as one of its uses.
 *
 * @param {string} token
 * @returns {Promise<OpenedImage>}
 */
export async function findLinkedImage(token) {
  const issued = await redeem(token);
  keepLinkLease(issued.document);
  return openByLink(issued.document, issued);
}

/**
 * Find the image of the link that this tab has redeemed before.
 *
 * @returns {Promise<OpenedImage>}
 */
export async function findKeptImage() {
  const kept = keptLinkLease();
  if (kept === null) throw new NothingToOpen("The address of this page names no image.");
  try {
    const renewed = await linkLeases().renew(kept);
    keepLinkLease({ ...kept, ...renewed.document });
    return openByLink(kept, renewed);
  } catch (error) {
    if (!(error instanceof ApiError) || error.status === 0 || error.status >= 429) throw error;
    forgetLinkLease();
    throw endedLink(error);
  }
}

/** @param {ApiError} error Why the lease that was kept cannot be renewed. */
function endedLink(error) {
  const isOver = error.code === "LEASE_EXPIRED" || error.status === 404;
  const message = isOver ? "Open the link again." : `The gateway says: ${error.message}.`;
  return new NothingToOpen(`The access by this link has ended. ${message}`, error.code);
}

/**
 * @param {import("./link_lease.js").LinkLease} link
 * @param {import("./lease_requests.js").IssuedLease} issued
 * @returns {Promise<OpenedImage>}
 */
async function openByLink({ name, size }, issued) {
  if (size === 0) throw new NothingToOpen(`The image ${name} is empty.`);
  const requests = linkLeases();
  return {
    imageId: issued.document.imageId,
    name,
    size,
    kind: (await isCd(issued.document.url)) ? "iso" : "disk",
    isByLink: true,
    page: { href: "/link", label: "Shared image" },
    deltas: async () => null,
    lease: async (listener) => {
      const newest = keptLinkLease() ?? issued.document;
      return new Lease(await requests.renew(newest), requests, listener);
    },
  };
}

/**
 * Return whether the image has the mark of an ISO 9660 file system, as a CD does.
 *
 * @param {string} url
 */
async function isCd(url) {
  const last = CD_MARK_AT + CD_MARK.length - 1;
  const headers = { Range: `bytes=${CD_MARK_AT}-${last}` };
  const response = await fetch(url, { headers, credentials: "omit", cache: "no-store" }).catch(() => null);
  return response?.status === 206 && (await response.text()) === CD_MARK;
}

/** @param {import("./lease_requests.js").LeaseRequests} requests */
function requiredMake(requests) {
  if (requests.make === null) throw new TypeError("a signed-in person can make leases");
  return requests.make;
}

/**
 * Return the blocks that a boot of the image reads, in their order, as recorded by `image-gateway trace`.
 *
 * The list is that of `prefetch` in `GET /v1/images/{imageId}/stream-url`. It is taken from a file of the lease, since
 * that route makes another lease of many hours, and has no answer for those who have a link.
 *
 * @param {import("./block_requests.js").LeaseDocument} lease
 * @returns {Promise<number[]>} Byte offsets; empty if no boot was recorded, or the list cannot be had.
 */
export async function bootTrace(lease) {
  if (lease.views === undefined) return [];
  const response = await fetch(lease.views.tinyemu.url, { credentials: "omit" }).catch(() => null);
  const index = response?.ok ? await response.json().catch(() => null) : null;
  const bytes = (index?.block_size ?? 0) * 1024;
  return (index?.prefetch ?? []).map((/** @type {number} */ block) => block * bytes);
}

/**
 * Return the ETag of the image, by which a machine notices that the image was replaced.
 *
 * @param {import("./block_requests.js").LeaseDocument} lease
 * @returns {Promise<string>}
 */
export async function versionOf(lease) {
  const init = /** @type {RequestInit} */ ({ method: "HEAD", credentials: "omit", cache: "no-store" });
  const response = await fetch(lease.url, init).catch(() => null);
  const etag = response?.ok ? response.headers.get("ETag") : null;
  if (etag !== null) return etag;
  const status = response === null ? "The gateway cannot be reached." : `The gateway answers with ${response.status}.`;
  throw new Error(`The image cannot be read. ${status} Try again.`);
}
