/**
 * The clock of the machine, which stands still while the machine is paused: otherwise its drivers would take the time
 * of a pause for that of a read, and give up on a disk that has only waited for the network.
 */
class MachineClock {
  #now = performance.now.bind(performance);
  #behind = 0;
  /** @type {number | null} */
  #stoppedAt = null;

  /** @returns {number} Milliseconds. */
  now() {
    return (this.#stoppedAt ?? this.#now()) - this.#behind;
  }

  /** Stop the clock. The machine must have been stopped before: v86 looks at the clock to know when to pause. */
  stop() {
    this.#stoppedAt ??= this.#now();
  }

  run() {
    if (this.#stoppedAt === null) return;
    this.#behind += this.#now() - this.#stoppedAt;
    this.#stoppedAt = null;
  }

  /**
   * Let code that binds `performance.now` when it is loaded, as v86 does, get this clock.
   *
   * @param {() => Promise<void>} load
   */
  async giveTo(load) {
    performance.now = () => this.now();
    try {
      await load();
    } finally {
      // What is left is the browser's own.
      Reflect.deleteProperty(performance, "now");
    }
  }
}

export const machineClock = new MachineClock();
