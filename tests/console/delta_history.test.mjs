// Whatever fails, the delta always is the disk as it was at one moment, and goes forward only.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import test from "node:test";

import { lost, lostAnswer, put, SECTOR, world } from "./delta_fakes.mjs";
import { read, refusal, until } from "./open_fakes.mjs";

const SIZE = 96 * 1024 + SECTOR;
const STEPS = 150;
const hash = (bytes) => createHash("sha256").update(bytes).digest("hex");
const COMMIT_FAULTS = [lost, lostAnswer, () => refusal(503, "OVERLOADED"), (apply) => (apply(), refusal(502, "S3_ERROR"))];
const READ_FAULTS = [lost, () => refusal(502, "S3_ERROR"), () => refusal(429, "TOO_MANY_REQUESTS")];

/** Numbers that look random, the same for the same seed. */
function randomFrom(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Note the disk after each commit that the gateway applies, whether its answer arrives or not. */
function watchCommits(delta) {
  const seen = [];
  const { commits } = delta;
  delta.commits = new Proxy(commits, {
    get: (target, name) => (name === "push" ? (commit) => (seen.push(hash(delta.disk)), target.push(commit)) : target[name]),
  });
  return seen;
}

for (let seed = 1; seed <= 12; seed += 1) {
  test(`a random load under random faults, seed ${seed}`, async () => {
    const random = randomFrom(seed);
    const { delta, disk, clock, log } = world({ size: SIZE, blockSize: [512, 4096, 65_536][seed % 3] });
    const model = delta.disk.slice();
    const history = [hash(model)];
    const seen = watchCommits(delta);
    for (let step = 1; step <= STEPS; step += 1) {
      const length = (1 + random(12)) * SECTOR;
      const offset = random((SIZE - length) / SECTOR + 1) * SECTOR;
      const what = random(8);
      if (what < 5) {
        model.fill(step, offset, offset + length);
        history.push(hash(model));
        await put(disk, offset, step, length);
      } else if (what === 5) delta.faults.push(COMMIT_FAULTS[random(COMMIT_FAULTS.length)]);
      else if (what === 6) delta.readFaults.push(READ_FAULTS[random(READ_FAULTS.length)]);
      else {
        const reading = read(disk, offset, length);
        let bytes;
        void reading.then((got) => (bytes = got));
        await until(() => bytes || clock.advance(100));
        assert.deepEqual(bytes, model.slice(offset, offset + length));
      }
      if (random(6) === 0) void disk.flush();
      clock.advance(random(400));
      for (let turn = random(4); turn > 0; turn -= 1) await new Promise((resolve) => setImmediate(resolve));
    }
    let isFlushed = false;
    void disk.flush().then(() => (isFlushed = true));
    await until(() => isFlushed || clock.advance(100));
    assert.deepEqual(log.stopped, []);
    assert.deepEqual(delta.disk, model);
    const moments = seen.map((state) => history.lastIndexOf(state));
    assert.ok(moments.length > 3 && moments.every((moment) => moment >= 0), `${moments}`);
    assert.deepEqual(moments, [...moments].sort((one, other) => one - other));
  });
}
