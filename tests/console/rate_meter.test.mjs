import assert from "node:assert/strict";
import test from "node:test";
import { RateMeter } from "../../image_gateway/console/upload/rate_meter.js";

function makeMeter() {
  const clock = { time: 1_000_000 };
  const meter = new RateMeter(() => clock.time);
  meter.start();
  return { clock, meter };
}

test("a steady transfer has its rate, from the beginning on", () => {
  const { clock, meter } = makeMeter();
  for (let tenth = 1; tenth <= 600; tenth += 1) {
    clock.time += 100;
    meter.add(1000);
    if (tenth >= 10) assert.ok(Math.abs(meter.rate - 10_000) < 700, `${meter.rate} after ${tenth / 10} s`);
  }
});

test("the rate is that of the last 15 seconds", () => {
  const { clock, meter } = makeMeter();
  meter.add(1_000_000);
  clock.time += 14_999;
  assert.equal(Math.round(meter.rate), 66_671);
  clock.time += 1;
  assert.equal(meter.rate, 0);
});

test("without any bytes the rate is 0", () => assert.equal(makeMeter().meter.rate, 0));

test("after a new start the bytes from before do not count", () => {
  const { clock, meter } = makeMeter();
  meter.add(1_000_000);
  clock.time += 5000;
  meter.start();
  assert.equal(meter.rate, 0);
  clock.time += 2000;
  meter.add(2000);
  assert.equal(meter.rate, 1000);
});

test("a burst at the very start is not taken for the rate of a second", () => {
  const { meter } = makeMeter();
  meter.add(5000);
  assert.equal(meter.rate, 5000);
});

test("a clock that is set back makes no rate below zero", () => {
  const { clock, meter } = makeMeter();
  meter.add(5000);
  clock.time -= 60_000;
  assert.equal(meter.rate, 0);
  meter.add(500);
  assert.equal(meter.rate, 500);
});
