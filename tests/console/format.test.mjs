// How sizes, rates and durations are written.
import assert from "node:assert/strict";
import test from "node:test";

import { duration, rate, size, time } from "../../image_gateway/console/lib/format.js";

const KIB = 1024;
const MIB = KIB * KIB;

for (const [bytes, text] of [
  [0, "0 B"],
  [1, "1 B"],
  [1023, "1023 B"],
  [KIB, "1 KiB"],
  [1.5 * MIB, "1.5 MiB"],
  [9.99 * MIB, "9.99 MiB"],
  [9.999 * MIB, "10 MiB"],
  [99.96 * MIB, "100 MiB"],
  [1023 * MIB, "1023 MiB"],
  [1023.6 * MIB, "1 GiB"],
  [100 * KIB * MIB, "100 GiB"],
  [5000 * 2 ** 50, "5000 PiB"],
  [null, "–"],
  [undefined, "–"],
]) {
  test(`${bytes} bytes are ${text}`, () => assert.equal(size(bytes), text));
}

test("a rate is a size per second", () => assert.equal(rate(3.25 * MIB), "3.25 MiB/s"));

for (const [seconds, text] of [
  [-1, "0 s"],
  [0.4, "0 s"],
  [59.4, "59 s"],
  [59.5, "1 min"],
  [200, "3 min 20 s"],
  [3599, "59 min 59 s"],
  [3600, "1 h"],
  [7500, "2 h 5 min"],
  [86_399, "23 h 59 min"],
  [86_400, "1 d"],
  [273_600, "3 d 4 h"],
]) {
  test(`${seconds} seconds are ${text}`, () => assert.equal(duration(seconds), text));
}

test("no time is a dash", () => assert.deepEqual([time(null), time(undefined), time("")], ["–", "–", "–"]));

test("a time is told in the reader's own zone", () => {
  const moment = "2026-03-01T12:34:56Z";
  const hour = new Date(moment).toLocaleString(undefined, { timeStyle: "short" });
  assert.ok(time(moment).includes(hour), time(moment));
});
