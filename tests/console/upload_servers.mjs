/**
 * A gateway and a store in memory, for tests of the upload engine.
 */

import { createHash } from "node:crypto";
import { requireReadable, StoreUnreachable } from "../../image_gateway/console/upload/part_sender.js";

export const PART = 1000;

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
    await new Promise((resolve) => setImmediate(resolve));
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
    if (sha256 !== undefined && sha256 !== actual) {
      image.state = "failed";
      throw refusal(409, "INVALID_STATE", "sha256: what was uploaded is another");
    }
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
