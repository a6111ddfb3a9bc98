/**
 * SHA-256 (FIPS 180-4) of data that arrives in pieces: the browser's own implementation takes whole buffers only.
 */

import { addBlocks, BLOCK, INITIAL_STATE } from "./sha256_blocks.js";

/** An incremental SHA-256. */
export class Sha256 {
  #state = Int32Array.from(INITIAL_STATE);
  /** Bytes that do not fill a block yet. */
  #rest = new Uint8Array(BLOCK);
  #restLength = 0;
  #length = 0;

  /**
   * Add bytes.
   *
   * @param {Uint8Array} bytes
   * @returns {this}
   */
  update(bytes) {
    this.#length += bytes.length;
    let at = 0;
    if (this.#restLength > 0) {
      at = Math.min(BLOCK - this.#restLength, bytes.length);
      this.#rest.set(bytes.subarray(0, at), this.#restLength);
      this.#restLength += at;
      if (this.#restLength < BLOCK) return this;
      addBlocks(this.#state, this.#rest, 0, BLOCK);
    }
    const end = bytes.length - ((bytes.length - at) % BLOCK);
    addBlocks(this.#state, bytes, at, end);
    this.#rest.set(bytes.subarray(end));
    this.#restLength = bytes.length - end;
    return this;
  }

  /**
   * Return the hash of all bytes so far, in hex. More bytes may be added afterwards.
   *
   * @returns {string}
   */
  hex() {
    const state = Int32Array.from(this.#state);
    const blocks = this.#restLength < BLOCK - 8 ? 1 : 2;
    const padding = new Uint8Array(blocks * BLOCK);
    padding.set(this.#rest.subarray(0, this.#restLength));
    padding[this.#restLength] = 0x80;
    const view = new DataView(padding.buffer);
    // The length is in bits and may exceed 32 bits: 512 MiB are 2^32 bits.
    view.setUint32(padding.length - 8, Math.floor(this.#length / 0x20000000));
    view.setUint32(padding.length - 4, (this.#length % 0x20000000) * 8);
    addBlocks(state, padding, 0, padding.length);
    return Array.from(state, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
  }
}
