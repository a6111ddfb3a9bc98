/** Notices that a read takes so long that the guest's driver may give up. */
export class Patience {
  /** @type {Map<object, number>} When each pending read began; the oldest is the first. */
  #pending = new Map();
  /** @type {any} */
  #timer = null;
  #isOver = false;
  #clock;
  #limit;
  #onChange;

  /**
   * @param {import("./waiting.js").Clock} clock
   * @param {number} limit Milliseconds that a read may take.
   * @param {(isOver: boolean) => void} onChange Called with true when a read has taken longer, and with false when no
   *   such read is pending any more.
   */
  constructor(clock, limit, onChange) {
    this.#clock = clock;
    this.#limit = limit;
    this.#onChange = onChange;
  }

  /**
   * Note that a read has begun.
   *
   * @returns {() => void} To be called when it has ended; further calls do nothing.
   */
  begin() {
    const read = {};
    this.#pending.set(read, this.#clock.now());
    if (this.#pending.size === 1) this.#watch();
    return () => {
      if (this.#pending.delete(read)) this.#watch();
    };
  }

  #watch() {
    this.#clock.clearTimeout(this.#timer);
    const [oldest] = this.#pending.values();
    const left = oldest === undefined ? Infinity : oldest + this.#limit - this.#clock.now();
    if (this.#isOver !== left <= 0) {
      this.#isOver = left <= 0;
      this.#onChange(this.#isOver);
    }
    if (left > 0 && left < Infinity) this.#timer = this.#clock.setTimeout(() => this.#watch(), left);
  }
}
