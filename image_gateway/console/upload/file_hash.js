/**
 * The SHA-256 of a whole file, computed by a worker while the file is uploaded.
 */

import { fileChanged, UploadError } from "./errors.js";

export const SLICE = 4 * 1024 * 1024;

/** @typedef {Pick<Worker, "postMessage" | "terminate" | "onmessage" | "onerror">} HashWorker */

/** @returns {HashWorker} */
export function startHashWorker() {
  return new Worker(new URL("./hash.worker.js", import.meta.url), { type: "module" });
}

/** Hashes one file. It can be interrupted between any two slices, and goes on where it was. */
export class FileHash {
  #file;
  #startWorker;
  /** @type {HashWorker | null} */
  #worker = null;
  /** @type {string | null} */
  #hex = null;
  /** The bytes that have been hashed. */
  hashed = 0;

  /**
   * @param {Blob} file
   * @param {() => HashWorker} [startWorker]
   */
  constructor(file, startWorker = startHashWorker) {
    this.#file = file;
    this.#startWorker = startWorker;
  }

  /**
   * Hash what is left of the file, and return the hash in hex.
   *
   * @param {AbortSignal} signal Interrupts after the current slice.
   * @param {() => void} onProgress Called after each slice.
   * @returns {Promise<string>}
   * @throws {UploadError} The file cannot be read any more, or there is no worker.
   */
  async run(signal, onProgress) {
    if (this.#hex !== null) return this.#hex;
    try {
      this.#worker ??= this.#start();
      const worker = this.#worker;
      while (this.hashed < this.#file.size) {
        signal.throwIfAborted();
        const end = Math.min(this.hashed + SLICE, this.#file.size);
        await ask(worker, { start: this.hashed, end });
        this.hashed = end;
        onProgress();
      }
      const { hex } = await ask(worker, { finish: true });
      this.#hex = /** @type {string} */ (hex);
      this.close();
      return this.#hex;
    } catch (error) {
      // A worker that failed has lost its state.
      if (!signal.aborted) this.close();
      throw error;
    }
  }

  /** End the worker. Unless the hash is known, it begins anew the next time. */
  close() {
    this.#worker?.terminate();
    this.#worker = null;
    if (this.#hex === null) this.hashed = 0;
  }

  #start() {
    const worker = this.#startWorker();
    worker.postMessage({ file: this.#file });
    return worker;
  }
}

/**
 * @param {HashWorker} worker
 * @param {{ start: number, end: number } | { finish: true }} message
 * @returns {Promise<{ end?: number, hex?: string }>}
 */
function ask(worker, message) {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => (data.unreadable ? reject(fileChanged()) : resolve(data));
    worker.onerror = () => {
      const text = "The hash of the file cannot be computed: the browser does not start the worker for it.";
      reject(new UploadError("worker", text));
    };
    worker.postMessage(message);
  });
}
