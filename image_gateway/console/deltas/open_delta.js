/**
 * Opens a delta to read and write it; the first module that a page needs.
 */

import { Lease } from "../open/lease.js";
import { DeltaDisk } from "./delta_disk.js";
import { makeSession, sessionRequests, WriterState } from "./delta_lease.js";

/**
 * @typedef {object} DeltaOptions
 * @property {string} deltaId
 * @property {string} [origin] Of the gateway, unless it is that of the page.
 * @property {() => Promise<Record<string, string>>} [authorize] Returns headers that say who the person is; a page of
 *   the gateway needs none.
 * @property {import("./delta_disk.js").DeltaListener} [listener]
 * @property {number} [limitBytes] The guest's writes wait while more than this is not committed.
 * @property {() => boolean} [isHidden]
 * @property {typeof fetch} [fetch]
 * @property {import("../open/waiting.js").Clock} [clock]
 * @property {() => number} [random]
 */

/**
 * Become the writer of a delta, and return its disk. A page that was it before is fenced.
 *
 * @param {DeltaOptions} options
 * @returns {Promise<DeltaDisk>}
 */
export async function openDelta(options) {
  const { deltaId, origin = "", authorize = async () => ({}), listener = {}, clock, random } = options;
  const gateway = { origin, authorize };
  const issued = await makeSession(gateway, deltaId);
  const state = new WriterState(issued.document.generation, issued.document.epoch);
  /** @type {DeltaDisk | null} */
  let disk = null;
  const leaseListener = {
    ...listener,
    onRenewed: (/** @type {import("../open/block_requests.js").LeaseDocument} */ document) => {
      disk?.wake();
      listener.onRenewed?.(document);
    },
    onEnded: (/** @type {import("../open/lease.js").LeaseEnded} */ error) => {
      disk?.stop(error);
      listener.onEnded?.(error);
    },
  };
  const lease = new Lease(issued, sessionRequests(gateway, deltaId, state), leaseListener, { clock, random });
  disk = new DeltaDisk(issued.document, lease, state, options);
  return disk;
}
