// What a guest writes is read back at once, and committed in whole blocks, in the order in which it was written.
import assert from "node:assert/strict";
import test from "node:test";

import { put, SECTOR, world } from "./delta_fakes.mjs";
import { BLOCK, read, until } from "./open_fakes.mjs";

const extents = ({ delta }) => delta.commits.map((commit) => commit.extents);

test("what was written is read back at once, and committed after a second", async () => {
  const { delta, disk, clock, log } = world();
  const before = delta.disk.slice(0, 8192);
  await put(disk, 512, 7);
  assert.equal(disk.status.state, "unsaved");
  assert.equal(disk.status.unsavedBytes, 4096);
  assert.equal(disk.status.unsavedSince, clock.now());
  const wanted = before.slice();
  wanted.fill(7, 512, 1024);
  assert.deepEqual(await read(disk, 0, 8192), wanted);
  clock.advance(999);
  assert.equal(delta.commits.length, 0);
  clock.advance(1);
  await until(() => disk.status.state === "saved");
  assert.deepEqual(delta.disk.slice(0, 8192), wanted);
  assert.deepEqual(await read(disk, 0, 8192), wanted);
  assert.deepEqual(disk.status, {
    state: "saved",
    unsavedBytes: 0,
    unsavedSince: null,
    problem: null,
    generation: 6,
  });
  assert.deepEqual(log.status.map(({ state }) => state), ["unsaved", "saved"]);
});

test("a flush commits at once, and waits for all that was written before it", async () => {
  const { delta, disk } = world();
  await put(disk, 4096, 1, 8192);
  await disk.flush();
  assert.deepEqual(extents({ delta }), [[[1, 2, "data"]]]);
  await disk.flush();
  assert.equal(delta.commits.length, 1);
});

test("adjacent blocks are one extent, and zeros take no room", async () => {
  const { delta, disk } = world();
  await put(disk, 3 * 4096, 0, 2 * 4096);
  await put(disk, 2 * 4096, 3, 4096);
  await put(disk, 9 * 4096, 3, 4096);
  await put(disk, 4096, 3, 4096);
  await disk.flush();
  assert.deepEqual(extents({ delta }), [[[1, 2, "data"], [3, 2, "zero"], [9, 1, "data"]]]);
  assert.equal(delta.commits[0].bytes, 16 + 3 * 20 + 3 * 4096);
});

test("a block that was written again and again is sent once", async () => {
  const { delta, disk } = world();
  for (let value = 1; value < 100; value += 1) await put(disk, 4096, value, 4096);
  await disk.flush();
  assert.equal(delta.commits[0].bytes, 16 + 20 + 4096);
  assert.equal(delta.disk[4096], 99);
});

test("whole blocks are committed without a read, parts of blocks with what was there", async () => {
  const { delta, disk } = world();
  await put(disk, 8192, 1, 4096);
  await disk.flush();
  assert.deepEqual(delta.requests.map(({ url }) => url.split("/").at(-1)), ["commits"]);
  const wanted = delta.disk.slice(4096, 8192);
  wanted.fill(2, 1024, 1536);
  await put(disk, 4096 + 1024, 2);
  await disk.flush();
  assert.deepEqual(delta.disk.slice(4096, 8192), wanted);
});

test("blocks of one sector need no reads, and work up to the end of the disk", async () => {
  const { delta, disk } = world({ blockSize: 512 });
  assert.equal(disk.byteLength % SECTOR, 0);
  await put(disk, disk.byteLength - SECTOR, 9);
  await put(disk, 0, 8);
  await disk.flush();
  assert.equal(delta.disk.at(-1), 9);
  assert.equal(delta.disk[0], 8);
  assert.equal(delta.requests.length, 1);
  assert.deepEqual(extents({ delta }), [[[0, 1, "data"], [disk.byteLength / SECTOR - 1, 1, "data"]]]);
});

test("what is behind the end of the disk is sent as zeros", async () => {
  const { delta, disk } = world({ size: 10_000 });
  const sent = [];
  delta.faults = [(apply) => (sent.push(delta.requests.at(-1).init.body), apply())];
  await put(disk, 8192, 5, 2048);
  await disk.flush();
  const block = sent[0].subarray(36);
  assert.deepEqual(block.subarray(0, 1808), new Uint8Array(1808).fill(5));
  assert.deepEqual(block.subarray(1808), new Uint8Array(4096 - 1808));
});

test("writes during a commit come into the next one, and do not change the first", async () => {
  const { delta, disk } = world();
  let open;
  delta.gate = new Promise((resolve) => (open = resolve));
  await put(disk, 0, 1, 4096);
  const flushed = disk.flush();
  await until(() => delta.requests.length === 1);
  await put(disk, 0, 2, 4096);
  assert.equal((await read(disk, 0, SECTOR))[0], 2);
  delta.gate = null;
  open();
  await flushed;
  assert.equal(delta.disk[0], 1);
  assert.equal((await read(disk, 0, SECTOR))[0], 2);
  await disk.flush();
  assert.equal(delta.disk[0], 2);
});

test("more than a segment takes goes into several commits, each of which is a moment of the disk", async () => {
  const { delta, disk } = world({ size: 40 * 1024 * 1024 });
  for (let at = 0; at < 20; at += 1) await put(disk, at * 1024 * 1024, at + 1, 1024 * 1024);
  const seen = [];
  delta.faults = Array(9).fill((apply) => {
    const answer = apply();
    seen.push(Array.from({ length: 20 }, (_, at) => delta.disk[(at + 1) * 1024 * 1024 - 1] === at + 1));
    return answer;
  });
  await disk.flush();
  assert.ok(delta.commits.length > 2);
  for (const written of seen) assert.ok(!written.join().includes("false,true"), written.join());
  assert.ok(seen.at(-1).every(Boolean));
  assert.ok(delta.commits.every(({ bytes }) => bytes <= 8 * 1024 * 1024));
});

test("the guest waits while too much is not committed", async () => {
  const { delta, disk, log } = world({ limitBytes: 64 * 1024 });
  let open;
  delta.gate = new Promise((resolve) => (open = resolve));
  await put(disk, 0, 1, 64 * 1024);
  let isDone = false;
  const write = put(disk, 64 * 1024, 2, 4096).then(() => (isDone = true));
  await until(() => delta.requests.length === 1);
  assert.deepEqual([isDone, log.full], [false, [true]]);
  delta.gate = null;
  open();
  await write;
  assert.deepEqual(log.full, [true, false]);
});

test("a guest that waits long for its flush is to be paused", async () => {
  const { delta, disk, log, clock } = world();
  let open;
  delta.gate = new Promise((resolve) => (open = resolve));
  await put(disk, 0, 1, 4096);
  let isDone = false;
  disk.flushForGuest(() => (isDone = true));
  clock.advance(4000);
  assert.deepEqual([log.slow, isDone], [[true], false]);
  open();
  await until(() => isDone);
  await until(() => log.slow.length === 2);
  assert.deepEqual(log.slow, [true, false]);
});

test("a hidden page, whose timers come late, commits at once", async () => {
  const { delta, disk } = world({ isHidden: () => true });
  await put(disk, 0, 1, 4096);
  await until(() => delta.commits.length === 1);
});

test("a read that began before a commit gives what was committed", async () => {
  const { delta, disk } = world();
  let answer;
  const old = delta.disk.slice(0, BLOCK);
  const headers = { "Content-Range": `bytes 0-${BLOCK - 1}/${delta.size}`, ETag: '"v1.delta-1.5"' };
  delta.readFaults = [() => new Promise((resolve) => (answer = () => resolve(new Response(old, { status: 206, headers }))))];
  const reading = read(disk, 0, 8192);
  await until(() => answer !== undefined);
  await put(disk, 4096, 3, 4096);
  await disk.flush();
  answer();
  const wanted = delta.disk.slice(0, 8192);
  assert.equal(wanted[4096], 3);
  assert.deepEqual(await reading, wanted);
  assert.deepEqual(await read(disk, 0, 8192), wanted);
});

test("a read of what is committed while other bytes of it are on their way gives both", async () => {
  const { delta, disk } = world();
  const { fetch, requests } = delta;
  let answer;
  delta.readFaults = [() => new Promise((resolve) => (answer = () => resolve(fetch(requests[0].url, requests[0].init))))];
  await put(disk, BLOCK - 4096, 7, 4096);
  const reading = read(disk, BLOCK - 4096, 8192);
  await until(() => answer !== undefined);
  await disk.flush();
  assert.equal(disk.status.state, "saved");
  answer();
  assert.deepEqual(await reading, delta.disk.slice(BLOCK - 4096, BLOCK + 4096));
});

test("an answer with an older state is not believed", async () => {
  const { delta, disk, clock, log } = world();
  await put(disk, 0, 1, 4096);
  await disk.flush();
  const headers = { "Content-Range": `bytes ${BLOCK}-${2 * BLOCK - 1}/${delta.size}`, ETag: '"v1.delta-1.5"' };
  delta.readFaults = [() => new Response(new Uint8Array(BLOCK), { status: 206, headers })];
  const reading = read(disk, BLOCK, SECTOR);
  await until(() => log.waiting.length === 1);
  clock.advance(500);
  assert.deepEqual(await reading, delta.disk.slice(BLOCK, BLOCK + SECTOR));
});

test("a random load reads what it wrote, and leaves the delta as the guest saw it", async () => {
  const { delta, disk, clock } = world();
  const model = new Uint8Array(disk.byteLength);
  model.set(delta.disk);
  let state = 1;
  const random = (below) => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) % below;
  for (let step = 0; step < 400; step += 1) {
    const offset = random(disk.byteLength / SECTOR - 20) * SECTOR;
    const length = (1 + random(20)) * SECTOR;
    if (random(3) > 0) {
      model.fill(step % 251, offset, offset + length);
      await put(disk, offset, step % 251, length);
    } else assert.deepEqual(await read(disk, offset, length), model.slice(offset, offset + length));
    if (random(20) === 0) void disk.flush();
    if (random(10) === 0) clock.advance(300);
    if (random(5) === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await disk.flush();
  assert.deepEqual(delta.disk, model.slice(0, delta.size));
  assert.equal(delta.generation, disk.status.generation);
});

test("a saved state of v86 with this disk is refused", () => {
  const { disk } = world();
  assert.throws(() => disk.get_state(), /saved state/);
  assert.throws(() => disk.set_state([[]]), /saved state/);
});
