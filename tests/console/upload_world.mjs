/**
 * A gateway, a store, a network and a clock in memory, for tests of the upload engine. Time passes only when a test
 * says so.
 */

import { File } from "node:buffer";
import { createHash } from "node:crypto";
import { UploadEngine } from "../../image_gateway/console/upload/engine.js";
import { requireReadable, StoreUnreachable } from "../../image_gateway/console/upload/part_sender.js";
import { pageLocks } from "../../image_gateway/console/upload/upload_lock.js";
import { memoryStorage } from "../../image_gateway/console/upload/upload_records.js";

export const PART = 1000;
export const MODIFIED = Date.UTC(2026, 0, 2);
const REAL_MILLISECONDS = 10_000;
// Longer than any wait before another attempt, shorter than an answer may take.
const LONGEST_WAIT = 60_000;

/** Wait until something holds, without letting the fake time pass. */
export async function until(condition, what = String(condition)) {
  const deadline = performance.now() + REAL_MILLISECONDS;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`this never came true: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Let everything happen that needs no time to pass. */
export async function settle() {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** Bytes that are the same in every run, and differ within a file. */
export function bytesOf(length, seed = 1) {
  return Uint8Array.from({ length }, (_, index) => (index * 31 + (index >> 8) * 7 + seed) & 0xff);
}

export function fileOf(length, { name = "disk.img", seed = 1, lastModified = MODIFIED } = {}) {
  return new File([bytesOf(length, seed)], name, { lastModified });
}

export async function sha256Of(file) {
  return createHash("sha256").update(new Uint8Array(await file.arrayBuffer())).digest("hex");
}

/** A clock that stands still until it is advanced. */
export class FakeClock {
  #timers = new Map();
  #next = 1;
  time = Date.UTC(2030, 0, 1);
  /** The delays that were asked for, in their order. */
  delays = [];

  now = () => this.time;

  setTimeout = (call, milliseconds) => {
    this.#timers.set(this.#next, { call, at: this.time + milliseconds });
    this.delays.push(milliseconds);
    return this.#next++;
  };

  clearTimeout = (timer) => void this.#timers.delete(timer);

  /** Let time pass, timer by timer. */
  async advance(milliseconds) {
    const end = this.time + milliseconds;
    await settle();
    for (let due = this.#due(end); due !== undefined; due = this.#due(end)) {
      this.#fire(due);
      await settle();
    }
    this.time = end;
  }

  /** Let time pass, timer by timer, until something holds. Answers come before the time for them is over. */
  async advanceUntil(condition) {
    await until(() => {
      if (condition()) return true;
      const next = this.#due(this.time + LONGEST_WAIT);
      if (next !== undefined) this.#fire(next);
      return false;
    }, String(condition));
  }

  get pending() {
    return this.#timers.size;
  }

  #fire([timer, { call, at }]) {
    this.#timers.delete(timer);
    this.time = Math.max(this.time, at);
    call();
  }

  #due(end) {
    return [...this.#timers].filter(([, { at }]) => at <= end).sort((one, other) => one[1].at - other[1].at)[0];
  }
}

/** A network that the browser knows about. */
export class FakeNetwork {
  #listeners = new Set();
  isOnline = true;

  onOnline = (listener) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  goOnline() {
    this.isOnline = true;
    for (const listener of [...this.#listeners]) listener();
  }
}

class Refusal extends Error {
  constructor(status, code, message, retryAfter) {
    super(message);
    Object.assign(this, { status, code, requestId: "r-1", retryAfter });
  }
}

export function refusal(status, code = "CODE", message = "no", retryAfter = undefined) {
  return new Refusal(status, code, message, retryAfter);
}

/** The upload routes. `server` is ahead of the page's clock by `ahead` milliseconds. */
export class FakeGateway {
  images = new Map();
  calls = [];
  /** Called with `METHOD path` before each answer; what it throws or rejects with is the answer. */
  before = async () => {};
  ahead = 3_600_000;
  urlMilliseconds = 600_000;
  partSize = PART;

  constructor(clock) {
    this.clock = clock;
  }

  send = async (method, path, body, { signal }) => {
    signal.throwIfAborted();
    const [, , , imageId, action = ""] = path.split("/");
    this.calls.push({ method, path, body });
    await this.before(`${method} ${path}`, body, signal);
    await settle();
    signal.throwIfAborted();
    if (path === "/v1/images") return this.#create(body);
    const image = this.images.get(imageId);
    if (image === undefined) throw refusal(404, "NOT_FOUND", "there is no such image");
    return this[`${method} ${action}`](image, body);
  };

  count(method, end) {
    return this.calls.filter((call) => call.method === method && call.path.endsWith(end)).length;
  }

  #create(declared) {
    const imageId = `image-${this.images.size + 1}`;
    const image = { imageId, uploadId: `upload-${imageId}`, state: "uploading", declared, parts: new Map() };
    this.images.set(imageId, image);
    return { imageId, uploadId: image.uploadId, partSize: this.partSize, expiresAt: this.#moment(1e9) };
  }

  "GET upload"(image) {
    requireOpen(image);
    const parts = [...image.parts].map(([partNumber, { size }]) => ({ partNumber, size, etag: '"e"' }));
    const { imageId, uploadId, declared } = image;
    const [expiresAt, serverTime] = [this.#moment(1e9), this.#moment(0)];
    return { imageId, uploadId, partSize: this.partSize, sizeBytes: declared.sizeBytes, expiresAt, serverTime, parts };
  }

  "GET "({ state, declared }) {
    return { state, sizeBytes: declared.sizeBytes };
  }

  "POST upload-urls"(image, { partNumbers }) {
    requireOpen(image);
    const url = (number) => `store:${image.imageId}/${number}?expires=${this.clock.time + this.urlMilliseconds}`;
    const urls = partNumbers.map((partNumber) => ({ partNumber, url: url(partNumber) }));
    return { urls, expiresAt: this.#moment(this.urlMilliseconds), serverTime: this.#moment(0) };
  }

  "POST complete"(image, { sha256 }) {
    if (image.state === "complete") return { ok: true };
    requireOpen(image);
    const count = Math.max(1, Math.ceil(image.declared.sizeBytes / this.partSize));
    if (image.parts.size < count) throw refusal(409, "INVALID_STATE", "not uploaded: some parts");
    const bytes = Buffer.concat(Array.from({ length: count }, (_, index) => image.parts.get(index + 1).bytes));
    const actual = createHash("sha256").update(bytes).digest("hex");
    if (sha256 !== undefined && sha256 !== actual) throw refusal(400, "BAD_REQUEST", "sha256 mismatch");
    Object.assign(image, { state: "complete", bytes, sha256 });
    return { ok: true };
  }

  "DELETE upload"(image) {
    if (image.state === "complete") throw refusal(409, "INVALID_STATE", "the upload is already complete");
    image.state = "failed";
    image.parts.clear();
    return { ok: true };
  }

  #moment(later) {
    return new Date(this.clock.time + this.ahead + later).toISOString();
  }
}

function requireOpen(image) {
  if (image.state !== "uploading") throw refusal(409, "INVALID_STATE", `the upload is not open: ${image.state}`);
}

/** The store: takes PUTs, and notes how many were at work at once. */
export class FakeStore {
  puts = [];
  atOnce = 0;
  mostAtOnce = 0;
  /** Called with the part's number and the number of its attempt before it is stored. */
  before = async () => {};
  #attempts = new Map();

  constructor(gateway) {
    this.gateway = gateway;
  }

  sendPart = async ({ url, body, signal, onProgress }) => {
    const [, imageId, number, expires] = /^store:(.+)\/(\d+)\?expires=(\d+)$/.exec(url);
    const name = `${imageId}/${number}`;
    const attempt = (this.#attempts.get(name) ?? 0) + 1;
    this.#attempts.set(name, attempt);
    this.puts.push({ imageId, number: Number(number), size: body.size, url });
    this.atOnce += 1;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.atOnce);
    try {
      await Promise.race([this.before(Number(number), attempt, onProgress), rejection(signal)]);
      // Stores refuse expired URLs without CORS headers.
      if (this.gateway.clock.time >= Number(expires)) throw new StoreUnreachable();
      const bytes = new Uint8Array(await body.arrayBuffer().catch(() => requireReadable(body)));
      signal.throwIfAborted();
      onProgress(body.size);
      this.gateway.images.get(imageId).parts.set(Number(number), { size: body.size, bytes });
    } finally {
      this.atOnce -= 1;
    }
  };

  numbers() {
    return this.puts.map(({ number }) => number).sort((one, other) => one - other);
  }
}

function rejection(signal) {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason));
  });
}

/** A promise with the functions that settle it. */
export function deferred() {
  let resolve, reject;
  const promise = new Promise((...functions) => ([resolve, reject] = functions));
  return { promise, resolve, reject };
}

/** The worker that hashes, in this thread. */
export class FakeWorker {
  #hash = createHash("sha256");
  #file;
  onmessage = null;
  onerror = null;
  isTerminated = false;
  slices = [];

  async postMessage({ file, finish, start, end }) {
    if (file) this.#file = file;
    else if (finish) this.onmessage({ data: { hex: this.#hash.digest("hex") } });
    else {
      this.slices.push([start, end]);
      this.#hash.update(new Uint8Array(await this.#file.slice(start, end).arrayBuffer()));
      this.onmessage({ data: { end } });
    }
  }

  terminate() {
    this.isTerminated = true;
  }
}

/** Everything together. A second engine on the same storage is the page after it was loaded again. */
export function makeWorld(options = {}) {
  const clock = new FakeClock();
  const network = new FakeNetwork();
  const gateway = new FakeGateway(clock);
  const store = new FakeStore(gateway);
  const [storage, locks] = [memoryStorage(), pageLocks()];
  const workers = [];
  const makeEngine = (more = {}) => {
    const startHashWorker = () => {
      workers.push(new FakeWorker());
      return workers.at(-1);
    };
    const { send } = gateway;
    const { sendPart } = store;
    const fakes = { send, sendPart, clock, network, storage, locks, startHashWorker, random: () => 1 };
    return new UploadEngine({ account: "alice", ...fakes, ...options, ...more });
  };
  return { clock, network, gateway, store, storage, locks, workers, makeEngine, engine: makeEngine() };
}
