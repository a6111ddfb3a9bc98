/** Blocks in memory, up to a number of bytes; the one that was not used for the longest time goes first. */
export class BlockCache {
  /** @type {Map<number, Uint8Array>} */
  #blocks = new Map();
  #bytes = 0;
  #capacity;

  /** @param {number} capacity Bytes. */
  constructor(capacity) {
    this.#capacity = capacity;
  }

  get bytes() {
    return this.#bytes;
  }

  get capacity() {
    return this.#capacity;
  }

  /** @param {number} index */
  has(index) {
    return this.#blocks.has(index);
  }

  /**
   * @param {number} index
   * @returns {Uint8Array | undefined}
   */
  get(index) {
    const block = this.#blocks.get(index);
    if (block === undefined) return undefined;
    this.#blocks.delete(index);
    this.#blocks.set(index, block);
    return block;
  }

  /**
   * @param {number} index
   * @param {Uint8Array} block
   */
  put(index, block) {
    this.#remove(index);
    this.#blocks.set(index, block);
    this.#bytes += block.length;
    for (const oldest of this.#blocks.keys()) {
      if (this.#bytes <= this.#capacity) break;
      this.#remove(oldest);
    }
  }

  /** @param {number} index */
  #remove(index) {
    const block = this.#blocks.get(index);
    if (block === undefined) return;
    this.#blocks.delete(index);
    this.#bytes -= block.length;
  }
}
