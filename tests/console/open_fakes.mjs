// A clock that stands still and a gateway in memory, for the tests of the page Open.
import { ApiError } from "../../image_gateway/console/lib/api.js";

export const BLOCK = 262_144;
export const ETAG = '"version-1"';
const TURNS = 10_000;
const MOST_MS = 30_000;

/**
 * Wait until something is true; each turn lets all that is ready to run go on. Digests are made by other threads, which
 * need more than these turns where the processors are busy.
 */
export async function until(condition, what = String(condition)) {
  const end = performance.now() + MOST_MS;
  for (let turn = 0; turn < TURNS || performance.now() < end; turn += 1) {
    if (condition()) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
  throw new Error(`this did not happen: ${what}`);
}

export class FakeClock {
  time = 1_800_000_000_000;
  timers = new Map();
  #next = 1;

  now() {
    return this.time;
  }

  setTimeout(call, milliseconds) {
    const id = this.#next++;
    this.timers.set(id, { at: this.time + milliseconds, call });
    return id;
  }

  clearTimeout(id) {
    this.timers.delete(id);
  }

  /** Let time pass; timers fire in their order, at their times. */
  advance(milliseconds) {
    const end = this.time + milliseconds;
    for (;;) {
      const [due] = [...this.timers].sort((a, b) => a[1].at - b[1].at || a[0] - b[0]);
      if (due === undefined || due[1].at > end) break;
      this.timers.delete(due[0]);
      this.time = Math.max(this.time, due[1].at);
      due[1].call();
    }
    this.time = end;
  }

  /** Let time pass while the computer sleeps: no timer fires, and each comes as much later. */
  sleep(milliseconds) {
    this.time += milliseconds;
    for (const timer of this.timers.values()) timer.at += milliseconds;
  }
}

/** Bytes that differ from block to block, and from each other within one. */
export function imageOf(size, seed = 1) {
  const bytes = new Uint8Array(size);
  let state = seed;
  for (let at = 0; at < size; at += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

export function refusal(status, code, headers = {}) {
  const body = JSON.stringify({ error: { code, message: `server: ${code}` } });
  return new Response(body, {
    status,
    headers: { "Content-Type": "application/json", "X-Request-Id": "request-1", ...headers },
  });
}

/** Answers as the gateway does, by leases whose tokens are in `tokens`. */
export class FakeGateway {
  etag = ETAG;
  tokens = new Set(["first"]);
  requests = [];
  running = 0;
  mostRunning = 0;
  /** Answers for the next requests in place of bytes: functions that return a response or throw. */
  faults = [];
  /** When set, answers wait for it. */
  gate = null;

  constructor(image) {
    this.image = image;
  }

  fetch = async (url, init = {}) => {
    const request = { url, range: init.headers?.Range ?? null, init };
    this.requests.push(request);
    this.running += 1;
    this.mostRunning = Math.max(this.mostRunning, this.running);
    try {
      await abortable(this.gate, init.signal);
      return await (this.faults.shift()?.(request) ?? this.#answer(request));
    } finally {
      this.running -= 1;
    }
  };

  #answer({ url, range, init }) {
    const [, token, rest] = /\/l\/([^/]+)\/(.*)$/.exec(url);
    if (!this.tokens.has(token)) return refusal(401, "LEASE_EXPIRED");
    const ifMatch = init.headers?.["If-Match"];
    if (rest === "disk.img") {
      if (ifMatch !== undefined && ifMatch !== this.etag) return refusal(412, "PRECONDITION_FAILED");
      const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range).map(Number);
      const body = this.image.slice(first, last + 1);
      const sent = `bytes ${first}-${first + body.length - 1}/${this.image.length}`;
      return new Response(body, { status: 206, headers: { "Content-Range": sent, ETag: this.etag } });
    }
    const [, start, stop] = /^v86\/\d+\/disk-(\d+)-(\d+)\.img$/.exec(rest).map(Number);
    const part = new Uint8Array(stop - start);
    part.set(this.image.slice(start, stop));
    return new Response(part, { headers: { ETag: `"part-${start}"` } });
  }
}

function abortable(gate, signal) {
  if (gate === null) return null;
  return new Promise((resolve, reject) => {
    gate.then(resolve);
    signal?.addEventListener("abort", () => reject(signal.reason));
  });
}

export function leaseDocument(token, more = {}) {
  return {
    leaseId: `lease-${token}`,
    imageId: "image-1",
    url: `http://gateway.example.com/v1/l/${token}/disk.img`,
    token,
    expiresAt: "2027-01-15T08:10:00Z",
    sessionEndsAt: "2027-01-15T20:00:00Z",
    views: {
      v86: { url: `http://gateway.example.com/v1/l/${token}/v86/${BLOCK}/disk.img`, fixed_chunk_size: BLOCK },
      tinyemu: { url: `http://gateway.example.com/v1/l/${token}/tinyemu/256/blk.txt` },
    },
    ...more,
  };
}

/** A lease for the disk's tests: each refresh takes the next of the given documents. */
export class FakeLease {
  current = leaseDocument("first");
  refreshed = [];
  next = [];
  error = null;

  async refresh(stale) {
    this.refreshed.push(stale);
    if (this.error) throw this.error;
    if (stale === this.current) this.current = this.next.shift() ?? this.current;
  }
}

export function apiError(status, code) {
  return new ApiError(`server: ${code}`, status, code, "request-1");
}

/** Read, as v86 does, and wait for the bytes. */
export function read(disk, offset, length, options) {
  return new Promise((resolve) => disk.get(offset, length, resolve, options));
}
