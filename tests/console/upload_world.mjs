/**
 * A gateway, a store, a network and a clock in memory, for tests of the upload engine. Time passes only when a test
 * says so.
 */

import { File } from "node:buffer";
import { createHash } from "node:crypto";
import { UploadEngine } from "../../image_gateway/console/upload/engine.js";
import { pageLocks } from "../../image_gateway/console/upload/upload_lock.js";
import { memoryStorage } from "../../image_gateway/console/upload/upload_records.js";
import { FakeGateway, FakeStore } from "./upload_servers.mjs";

export { PART, refusal } from "./upload_servers.mjs";

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
