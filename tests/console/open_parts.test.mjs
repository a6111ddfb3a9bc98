// Small parts of the page Open: writes in memory, delays, rates, and the log of the serial port.
import assert from "node:assert/strict";
import test from "node:test";

import { machineClock } from "../../image_gateway/console/open/machine_clock.js";
import { MemoryOverlay } from "../../image_gateway/console/open/overlay.js";
import { Patience } from "../../image_gateway/console/open/patience.js";
import { appendOutput } from "../../image_gateway/console/open/serial.js";
import { Transfer } from "../../image_gateway/console/open/transfer.js";
import { delayBefore } from "../../image_gateway/console/open/waiting.js";
import { FakeClock } from "./open_fakes.mjs";

const filled = (length, value) => new Uint8Array(length).fill(value);

test("an overlay gives back any writes, like an array of bytes", () => {
  const overlay = new MemoryOverlay();
  const model = filled(20 * 512, 0);
  for (const [sector, count, value] of [[0, 1, 1], [7, 2, 2], [6, 3, 3], [15, 5, 4], [8, 8, 5], [3, 1, 6]]) {
    overlay.write(sector * 512, filled(count * 512, value));
    model.fill(value, sector * 512, (sector + count) * 512);
    for (const [from, length] of [[0, 10_240], [1, 1], [511, 2], [4095, 2], [3500, 1000], [9999, 241]]) {
      const bytes = filled(length, 0);
      overlay.read(from, bytes);
      assert.deepEqual(bytes, model.slice(from, from + length));
    }
  }
  const copy = new MemoryOverlay();
  for (const [offset, data] of overlay.entries()) copy.write(offset, data);
  const bytes = filled(10_240, 0);
  copy.read(0, bytes);
  assert.deepEqual(bytes, model);
});

test("an overlay says what it covers, and what it takes", () => {
  const overlay = new MemoryOverlay();
  assert.equal(overlay.covers(0, 1), false);
  overlay.write(512, filled(4096, 1));
  assert.equal(overlay.bytes, 8192);
  assert.equal(overlay.covers(512, 4096), true);
  assert.equal(overlay.covers(600, 10), true);
  assert.equal(overlay.covers(511, 2), false);
  assert.equal(overlay.covers(4607, 2), false);
  overlay.clear();
  assert.deepEqual([overlay.bytes, overlay.covers(512, 1), overlay.entries()], [0, false, []]);
});

test("an overlay takes whole sectors, at any place of a large disk", () => {
  const overlay = new MemoryOverlay();
  assert.throws(() => overlay.write(1, filled(512, 1)), RangeError);
  assert.throws(() => overlay.write(0, filled(100, 1)), RangeError);
  const far = 9_000_000_000_000;
  assert.equal(far % 512, 0);
  overlay.write(far, filled(512, 7));
  const bytes = filled(512, 0);
  overlay.read(far, bytes);
  assert.deepEqual(bytes, filled(512, 7));
});

test("delays double up to 15 seconds, of which a random half may be left out", () => {
  const delays = (random) => [1, 2, 3, 7, 8, 1000].map((attempt) => delayBefore(attempt, null, () => random));
  assert.deepEqual(delays(1), [500, 1000, 2000, 15_000, 15_000, 15_000]);
  assert.deepEqual([1, 1000].map((attempt) => delayBefore(attempt, null, () => 0)), [250, 7500]);
});

test("a delay is at least what Retry-After says, up to a minute", () => {
  assert.deepEqual([0, 2, 60, 86_400].map((seconds) => delayBefore(1, seconds, () => 1)), [500, 2000, 60_000, 60_000]);
});

test("the rate is that of the last five seconds", () => {
  const transfer = new Transfer();
  assert.equal(transfer.rate(0), 0);
  for (let time = 0; time < 10_000; time += 50) transfer.received(1000, time);
  assert.equal(transfer.bytes, 200_000);
  assert.ok(Math.abs(transfer.rate(10_000) - 20_000) <= 400);
  assert.equal(transfer.rate(20_000), 0);
});

for (const [before, more, after] of [
  ["a", "b\r\nc", "ab\nc"],
  ["login: x", "\b", "login: "],
  ["a\n", "\b", "a\n"],
  ["", "\u001b[1;31mred\u001b[0m\u001b[2J\u001b[?25l!", "red!"],
  ["", "\u001bM<b>&amp;", "<b>&amp;"],
]) {
  test(`the serial log after ${JSON.stringify(before)} and ${JSON.stringify(more)}`, () => {
    assert.equal(appendOutput(before, more), after);
  });
}

test("the serial log keeps the end of a long output", () => {
  const long = `first${"x".repeat(300_000)}last`;
  const kept = appendOutput("", long);
  assert.equal(kept.length, 200_000);
  assert.ok(kept.endsWith("last"));
});

test("patience ends with the oldest read, however many younger ones come and go", () => {
  const clock = new FakeClock();
  const changes = [];
  const patience = new Patience(clock, 4000, (isOver) => changes.push(isOver));
  const endOldest = patience.begin();
  for (let read = 0; read < 8; read += 1) {
    clock.advance(450);
    patience.begin()();
  }
  clock.advance(399);
  assert.deepEqual(changes, []);
  clock.advance(1);
  assert.deepEqual(changes, [true]);
  const endYounger = patience.begin();
  endOldest();
  endOldest();
  assert.deepEqual(changes, [true, false]);
  clock.advance(4000);
  assert.deepEqual(changes, [true, false, true]);
  endYounger();
  assert.deepEqual(changes, [true, false, true, false]);
  assert.equal(clock.timers.size, 0);
});

test("short reads one after the other are no reason to pause", () => {
  const clock = new FakeClock();
  const changes = [];
  const patience = new Patience(clock, 4000, (isOver) => changes.push(isOver));
  let end = patience.begin();
  for (let read = 0; read < 10; read += 1) {
    clock.advance(3000);
    const next = patience.begin();
    end();
    end = next;
  }
  end();
  assert.deepEqual(changes, []);
});

test("the machine's clock stands still while it is stopped, for code that has bound it", async (context) => {
  let time = 1000;
  const browser = performance.now;
  context.mock.method(performance, "now", () => time);
  const { machineClock: clock } = await import("../../image_gateway/console/open/machine_clock.js?of=test");
  let bound;
  await clock.giveTo(async () => {
    bound = performance.now.bind(performance);
  });
  context.mock.restoreAll();
  assert.equal(performance.now, browser);
  assert.equal(bound(), 1000);
  time = 1500;
  clock.run();
  assert.equal(bound(), 1500);
  clock.stop();
  time = 61_500;
  clock.stop();
  assert.equal(bound(), 1500);
  clock.run();
  assert.equal(bound(), 1500);
  time = 61_600;
  assert.equal(bound(), 1600);
  assert.notEqual(machineClock, clock);
});
