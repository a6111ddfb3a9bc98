// A gateway in memory that keeps a delta as the real one does: generations, epochs, keys, digests.
import { createHash } from "node:crypto";

import { DeltaDisk } from "../../image_gateway/console/deltas/delta_disk.js";
import { WriterState } from "../../image_gateway/console/deltas/delta_lease.js";
import { crc32 } from "../../image_gateway/console/lib/crc32.js";
import { FakeClock, FakeLease, imageOf, leaseDocument, refusal } from "./open_fakes.mjs";

export const SECTOR = 512;

/** The table and the blocks of a segment; throws if anything in it is wrong. */
export function decodeSegment(segment) {
  const view = new DataView(segment.buffer, segment.byteOffset, segment.length);
  const count = view.getUint32(8, true);
  const blockSize = 1 << segment[4];
  const table = segment.subarray(16, 16 + 20 * count);
  const isHead = new TextDecoder().decode(segment.subarray(0, 4)) === "IGD1" && view.getUint32(12, true) === crc32(table);
  if (!isHead || segment.length > 8 * 1024 * 1024) throw new Error("the head of the segment is wrong");
  let at = 16 + table.length;
  let end = 0;
  const extents = [];
  const blocks = new Map();
  for (let index = 0; index < count; index += 1) {
    const entry = 16 + 20 * index;
    const first = Number(view.getBigUint64(entry, true));
    const [length, kind, crc] = [8, 12, 16].map((field) => view.getUint32(entry + field, true));
    const stop = kind === 0 ? at + length * blockSize : at;
    if (first < end || length < 1) throw new Error("extents overlap");
    if (kind === 0 && crc !== crc32(segment.subarray(at, stop))) throw new Error("a CRC is wrong");
    for (let block = 0; block < length; block += 1) {
      const from = at + block * blockSize;
      blocks.set(first + block, kind === 0 ? segment.slice(from, from + blockSize) : new Uint8Array(blockSize));
    }
    extents.push([first, length, kind === 0 ? "data" : "zero"]);
    [at, end] = [stop, first + length];
  }
  if (at !== segment.length) throw new Error("the segment has another length");
  return { blockSize, extents, blocks };
}

/** Answers requests by the sessions' tokens `session-EPOCH`. */
export class FakeDelta {
  generation = 5;
  epoch = 1;
  commits = [];
  requests = [];
  /** In place of the next commits: functions that get `apply`, which does and answers it. */
  faults = [];
  /** In place of the next reads. */
  readFaults = [];
  /** When set, commits wait for it before they are applied. */
  gate = null;
  expired = new Set();
  answers = new Map();

  constructor(size, blockSize = 4096) {
    this.blockSize = blockSize;
    this.size = size;
    this.disk = imageOf(size);
  }

  document(epoch = this.epoch) {
    const delta = { deltaId: "delta-1", generation: this.generation, epoch };
    return { ...leaseDocument(`session-${epoch}`), ...delta, blockSize: this.blockSize, sizeBytes: this.size };
  }

  fetch = async (url, init = {}) => {
    this.requests.push({ url, init });
    if (url.endsWith("/commits")) {
      if (this.gate) await this.gate;
      const apply = () => this.#commit(init);
      return (this.faults.shift() ?? apply)(apply);
    }
    return this.readFaults.shift()?.() ?? this.#read(url, init);
  };

  #commit({ headers, body }) {
    const token = headers.Authorization.replace("Bearer ", "");
    const key = headers["Idempotency-Key"];
    if (this.expired.has(token)) return refusal(401, "LEASE_EXPIRED");
    const digest = createHash("sha256").update(body).digest("base64");
    if (headers["Content-Digest"] !== `sha-256=:${digest}:`) return refusal(400, "BAD_REQUEST");
    const before = this.answers.get(key);
    if (before) return before.digest === digest ? Response.json(before.answer) : refusal(409, "IDEMPOTENCY_KEY_REUSED");
    if (token !== `session-${this.epoch}`) return refusal(409, "FENCED");
    if (headers["If-Match"] !== `"${this.generation}"`) return refusal(412, "PRECONDITION_FAILED");
    const { blocks, extents } = decodeSegment(body);
    for (const [number, block] of blocks) {
      this.disk.set(block.subarray(0, this.size - number * this.blockSize), number * this.blockSize);
    }
    this.generation += 1;
    this.commits.push({ extents, bytes: body.length });
    const answer = { deltaId: "delta-1", generation: this.generation, epoch: this.epoch };
    this.answers.set(key, { digest, answer });
    return Response.json(answer);
  }

  #read(url, { headers }) {
    const [first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.Range).slice(1).map(Number);
    const body = this.disk.slice(first, last + 1);
    return new Response(body, {
      status: 206,
      headers: {
        "Content-Range": `bytes ${first}-${first + body.length - 1}/${this.size}`,
        ETag: `"v1.delta-1.${this.generation}"`,
      },
    });
  }
}

/** A disk of a fake delta; `log` has what it told. */
export function world({ size = 2 * 1024 * 1024 + 1000, blockSize = 4096, ...options } = {}) {
  const delta = new FakeDelta(size, blockSize);
  const clock = new FakeClock();
  const lease = Object.assign(new FakeLease(), { current: delta.document(), check() {}, stop() {}, released: [] });
  lease.release = async (how) => void lease.released.push(how);
  const log = { status: [], stopped: [], full: [], slow: [], waiting: [] };
  const listener = {
    onStatus: (status) => log.status.push(status),
    onStopped: (error) => log.stopped.push(error),
    onFull: (isFull) => log.full.push(isFull),
    onSlow: (isSlow) => log.slow.push(isSlow),
    onWaiting: (reason) => log.waiting.push(reason),
  };
  const document = delta.document();
  const state = new WriterState(document.generation, document.epoch);
  const common = { deltaId: "delta-1", listener, fetch: delta.fetch, clock, random: () => 1, isHidden: () => false };
  const disk = new DeltaDisk(document, lease, state, { ...common, ...options });
  return { delta, clock, lease, state, disk, log };
}

/** Write sectors that hold one value. */
export function put(disk, offset, value, length = SECTOR) {
  return new Promise((resolve) => disk.set(offset, new Uint8Array(length).fill(value), resolve));
}

export const lost = () => {
  throw new TypeError("Failed to fetch");
};

/** The commit is applied, and its answer does not arrive. */
export const lostAnswer = (apply) => {
  apply();
  throw new TypeError("Failed to fetch");
};
