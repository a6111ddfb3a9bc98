// A guest's flush ends when all is committed; until then the drive is busy, and later commands see what it has done.
import assert from "node:assert/strict";
import test from "node:test";

import { withFlush } from "../../image_gateway/console/deltas/ata_flush.js";

const [DATA, DEVICE, COMMAND, CONTROL] = [0x1f0, 0x1f6, 0x1f7, 0x3f6];
const [READY, BUSY] = [0x50, 0x80];

function world() {
  const calls = [];
  const flushes = [];
  const words = Array.from({ length: 256 }, () => 0x4000);
  let at = 0;
  const word = () => words[at++] ?? 0;
  const imports = {
    env: {
      other: 1,
      io_port_read8: (port) => (port === COMMAND || port === CONTROL ? READY : 0),
      io_port_read16: (port) => (port === DATA ? word() : 0x1234),
      io_port_read32: (port) => (port === DATA ? word() | (word() << 16) : 0),
      io_port_write8: (port, value) => {
        calls.push([port, value]);
        if (port === COMMAND) at = 0;
      },
    },
  };
  const { env } = withFlush(imports, (done) => flushes.push(done));
  return { env, calls, flushes };
}

for (const command of [0xe0, 0xe7, 0xea]) {
  test(`the command ${command.toString(16)} is answered when all is committed`, () => {
    const { env, calls, flushes } = world();
    env.io_port_write8(DEVICE, 0xe0);
    env.io_port_write8(COMMAND, command);
    assert.deepEqual(calls, [[DEVICE, 0xe0]]);
    assert.deepEqual([env.io_port_read8(COMMAND), env.io_port_read8(CONTROL)], [BUSY, BUSY]);
    env.io_port_write8(COMMAND, 0xec); // a busy drive takes no command
    flushes[0]();
    assert.deepEqual(calls.slice(1), [[COMMAND, command]]);
    assert.equal(env.io_port_read8(COMMAND), READY);
    assert.equal(flushes.length, 1);
  });
}

test("a flush that has nothing to wait for is answered at once", () => {
  const { calls } = world();
  const ports = { io_port_read8: () => READY, io_port_read16: () => 0, io_port_read32: () => 0 };
  const env = { ...ports, io_port_write8: (port, value) => calls.push([port, value]) };
  const held = withFlush({ env }, (done) => done()).env;
  held.io_port_write8(COMMAND, 0xe7);
  assert.deepEqual(calls, [[COMMAND, 0xe7]]);
  assert.equal(held.io_port_read8(COMMAND), READY);
});

test("a reset ends the wait, and a late answer changes nothing", () => {
  const { env, calls, flushes } = world();
  env.io_port_write8(COMMAND, 0xe7);
  env.io_port_write8(CONTROL, 0x04);
  assert.equal(env.io_port_read8(COMMAND), READY);
  env.io_port_write8(COMMAND, 0xe7);
  flushes[0]();
  assert.equal(env.io_port_read8(COMMAND), BUSY);
  flushes[1]();
  assert.deepEqual(calls, [[CONTROL, 0x04], [COMMAND, 0xe7]]);
});

test("the other drive of the channel is left alone", () => {
  const { env, calls, flushes } = world();
  env.io_port_write8(DEVICE, 0xf0);
  env.io_port_write8(COMMAND, 0xe7);
  assert.deepEqual(calls, [[DEVICE, 0xf0], [COMMAND, 0xe7]]);
  env.io_port_write8(DEVICE, 0xe0);
  env.io_port_write8(COMMAND, 0xe7);
  env.io_port_write8(DEVICE, 0xf0);
  assert.equal(env.io_port_read8(COMMAND), READY);
  assert.equal(flushes.length, 1);
  env.io_port_write8(COMMAND, 0xec);
  assert.equal(env.io_port_read16(DATA), 0x4000);
});

for (const [name, read] of [
  ["words", (env) => Array.from({ length: 256 }, () => env.io_port_read16(DATA))],
  [
    "double words",
    (env) => Array.from({ length: 128 }, () => env.io_port_read32(DATA)).flatMap((two) => [two & 0xffff, two >>> 16]),
  ],
]) {
  test(`the drive says that it has a write cache, read by ${name}`, () => {
    const { env } = world();
    env.io_port_write8(COMMAND, 0xec);
    const wanted = Array.from({ length: 256 }, (_, index) => (index === 82 || index === 85 ? 0x4020 : 0x4000));
    assert.deepEqual(read(env), wanted);
    assert.equal(env.io_port_read16(0x60), 0x1234);
    env.io_port_write8(COMMAND, 0x20); // a sector is as it is
    assert.deepEqual(read(env), Array(256).fill(0x4000));
  });
}

test("whatever else v86 imports is passed on, and another v86 is refused", () => {
  assert.equal(world().env.other, 1);
  assert.throws(() => withFlush({ env: {} }, () => {}), /flushes cannot be seen/);
});
