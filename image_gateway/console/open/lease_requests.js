/**
 * The requests by which a lease is made, renewed and revoked: as a signed-in person, or by the lease of a share link.
 */

import { ApiError, send } from "../lib/api.js";

const ANSWER_MS = 20_000;

/** @typedef {import("./block_requests.js").LeaseDocument} LeaseDocument */

/**
 * A lease, and the gateway's clock when it was issued, in milliseconds: the lease's times are by that clock.
 *
 * @typedef {{ document: LeaseDocument, serverTime: number }} IssuedLease
 */

/**
 * @typedef {object} LeaseRequests
 * @property {(() => Promise<IssuedLease>) | null} make Makes a new lease; null where only a person can do that, with
 *   the link.
 * @property {(lease: LeaseDocument) => Promise<IssuedLease>} renew
 * @property {(lease: LeaseDocument, options?: { isLeaving?: boolean }) => Promise<void>} revoke
 */

/**
 * Requests with the browser's session.
 *
 * @param {string} imageId
 * @returns {LeaseRequests}
 */
export function sessionLeases(imageId) {
  return {
    make: () => issue("/v1/leases", { imageId, whenLapsed: "wait" }),
    renew: (lease) => issue(`${pathOf(lease)}/renew`),
    revoke: (lease, { isLeaving = false } = {}) => revoke(pathOf(lease), { keepalive: isLeaving }),
  };
}

/**
 * Requests with the lease of a share link, which permits them itself.
 *
 * @returns {LeaseRequests}
 */
export function linkLeases() {
  return {
    make: null,
    renew: (lease) => issue(`${pathOf(lease)}/renew`, undefined, bearer(lease)),
    revoke: (lease, { isLeaving = false } = {}) =>
      revoke(pathOf(lease), { keepalive: isLeaving, headers: bearer(lease) }),
  };
}

/**
 * Redeem a share link; the answer is a lease with the image's name and size.
 *
 * @param {string} token
 * @returns {Promise<IssuedLease & { document: LeaseDocument & { name: string, size: number } }>}
 */
export async function redeem(token) {
  const { document, serverTime } = await issue("/v1/share-links/redeem", { token });
  return { document: /** @type {LeaseDocument & { name: string, size: number }} */ (document), serverTime };
}

/**
 * Return the headers of a request that the lease itself permits.
 *
 * @param {LeaseDocument} lease
 */
export function bearer(lease) {
  return { Authorization: `Bearer ${lease.token}` };
}

/** @param {LeaseDocument} lease */
export function pathOf(lease) {
  return `/v1/leases/${lease.leaseId}`;
}

/**
 * Send a request whose answer is a lease.
 *
 * @param {string} path
 * @param {object} [body]
 * @param {Record<string, string>} [headers]
 * @returns {Promise<IssuedLease>}
 */
export async function issue(path, body, headers) {
  let serverTime = Number.NaN;
  const onResponse = (/** @type {Response} */ response) => {
    serverTime = Date.parse(response.headers.get("Date") ?? "");
  };
  const document = await sendInTime("POST", path, body, { headers, onResponse });
  return { document, serverTime: Number.isNaN(serverTime) ? Date.now() : serverTime };
}

/**
 * As `send`, which waits for an answer for ever: this throws an ApiError when none has come in time, or only a part.
 *
 * @param {string} method
 * @param {string} path
 * @param {object | undefined} body
 * @param {import("../lib/api.js").RequestOptions} options
 * @returns {Promise<any>}
 */
export async function sendInTime(method, path, body, options) {
  try {
    return await send(method, path, body, { ...options, signal: AbortSignal.timeout(ANSWER_MS) });
  } catch (error) {
    throw error instanceof ApiError ? error : new ApiError("The gateway does not answer.", 0, "NETWORK", null);
  }
}

/**
 * @param {string} path
 * @param {{ keepalive: boolean, headers?: Record<string, string> }} options
 */
export async function revoke(path, options) {
  await send("DELETE", path, undefined, options);
}
