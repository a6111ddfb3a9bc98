/**
 * Requests for blocks of a delta's disk: byte ranges, whose answers say of which generation they are.
 */

import { rangeRequests } from "../open/block_requests.js";
import { PassingFault } from "../open/faults.js";
import { fenced } from "./commit_answers.js";

/** The ETag of a delta's disk: version of the image, delta, generation. */
const ETAG = /\.([^."]+)\.([0-9]+)"$/;

/**
 * Return requests that get the newest generation, and notice one that is not from this page.
 *
 * @param {{ deltaId: string, sizeBytes: number }} session
 * @param {import("./delta_lease.js").WriterState} state
 * @returns {import("../open/block_requests.js").BlockRequests}
 */
export function deltaRequests({ deltaId, sizeBytes }, state) {
  const ranges = rangeRequests(sizeBytes);
  /** @type {WeakMap<object, number>} The generation that was known when a request was sent. */
  const known = new WeakMap();
  return {
    ...ranges,
    describe(lease, first, count) {
      const request = ranges.describe(lease, first, count);
      known.set(request, state.generation);
      return request;
    },
    check(response, request) {
      ranges.check(response, request);
      const [, delta, generation] = ETAG.exec(response.headers.get("ETag") ?? "") ?? [];
      if (delta !== deltaId) throw new PassingFault("The answer does not say which state of the delta it has.");
      const number = Number(generation);
      if (number < Number(known.get(request))) throw new PassingFault("The answer has an older state of the delta.");
      if (number > state.generation && !state.isOurs(number)) throw fenced(response.headers.get("X-Request-Id"));
    },
  };
}
