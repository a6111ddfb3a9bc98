// Small parts of the page Open: writes in memory, delays, rates, and the log of the serial port.
import assert from "node:assert/strict";
import test from "node:test";

import { MemoryOverlay } from "../../image_gateway/console/open/overlay.js";
import { appendOutput } from "../../image_gateway/console/open/serial.js";
import { Transfer } from "../../image_gateway/console/open/transfer.js";
import { delayBefore } from "../../image_gateway/console/open/waiting.js";

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

test("delays double up to 30 seconds, of which a random half may be left out", () => {
  assert.deepEqual([1, 2, 3, 7, 8, 1000].map((attempt) => delayBefore(attempt, null, () => 1)), [500, 1000, 2000, 30_000, 30_000, 30_000]);
  assert.deepEqual([1, 1000].map((attempt) => delayBefore(attempt, null, () => 0)), [250, 15_000]);
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
