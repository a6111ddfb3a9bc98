/**
 * The two ways to ask for blocks of an image: byte ranges of the lease's URL, and the files of the view for v86.
 */

import { PassingFault } from "./faults.js";

/** The block size of byte ranges; parts have that of the view. */
export const BLOCK_SIZE = 262_144;
const MOST_BLOCKS_OF_A_RANGE = 16;

/**
 * The fields of a lease that reading needs.
 *
 * @typedef {object} LeaseDocument
 * @property {string} leaseId
 * @property {string} imageId
 * @property {string} url
 * @property {string} token
 * @property {string} expiresAt
 * @property {string} sessionEndsAt
 * @property {{ v86: { url: string, fixed_chunk_size: number }, tinyemu: { url: string } }} [views]
 */

/**
 * One request for adjacent blocks.
 *
 * @typedef {object} BlockRequest
 * @property {string} url
 * @property {Record<string, string>} headers
 * @property {RequestCache} cache
 * @property {number} bytes The length of the answer.
 */

/**
 * @typedef {object} BlockRequests
 * @property {number} blockSize
 * @property {number} mostBlocks The number of adjacent blocks that one request can get.
 * @property {boolean} pinsVersion Whether If-Match compares with the image's ETag.
 * @property {(lease: LeaseDocument, first: number, count: number) => BlockRequest} describe
 * @property {(response: Response, request: BlockRequest) => void} check Throws PassingFault for an answer that does not
 *   have the blocks.
 */

/**
 * Requests of byte ranges.
 *
 * @param {number} size Bytes of the image.
 * @returns {BlockRequests}
 */
export function rangeRequests(size) {
  return {
    blockSize: BLOCK_SIZE,
    mostBlocks: MOST_BLOCKS_OF_A_RANGE,
    pinsVersion: true,
    describe(lease, first, count) {
      const start = first * BLOCK_SIZE;
      const stop = Math.min(start + count * BLOCK_SIZE, size);
      const headers = { Range: `bytes=${start}-${stop - 1}` };
      // With its HTTP cache Chromium sends ranges of one URL one after the other.
      return { url: lease.url, headers, cache: "no-store", bytes: stop - start };
    },
    check(response, request) {
      const sent = `${response.headers.get("Content-Range")}`.replace(/\/.*$/, "").replace(" ", "=");
      if (response.status !== 206 || sent !== request.headers.Range) {
        const hint = "Something between this page and the gateway may not support byte ranges: try to read by parts.";
        throw new PassingFault(`The answer does not have the bytes that were asked for. ${hint}`);
      }
    },
  };
}

/**
 * Requests of the parts of the view `v86`; the last part is padded with zeros.
 *
 * @param {number} blockSize `fixed_chunk_size` of the view.
 * @returns {BlockRequests}
 */
export function partRequests(blockSize) {
  return {
    blockSize,
    mostBlocks: 1,
    pinsVersion: false,
    describe(lease, first) {
      if (lease.views === undefined) throw new TypeError("the lease has no views");
      const start = first * blockSize;
      const { url } = lease.views.v86;
      const end = url.lastIndexOf(".");
      const part = `${url.slice(0, end)}-${start}-${start + blockSize}${url.slice(end)}`;
      return { url: part, headers: {}, cache: "default", bytes: blockSize };
    },
    check(response) {
      if (response.status !== 200) throw new PassingFault(`The answer has the status ${response.status}, and no part.`);
    },
  };
}
