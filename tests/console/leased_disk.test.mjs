// A disk for v86 reads the image's bytes, from memory where it has them, and keeps writes to itself.
import assert from "node:assert/strict";
import test from "node:test";

import { partRequests, rangeRequests } from "../../image_gateway/console/open/block_requests.js";
import { LeasedDisk } from "../../image_gateway/console/open/leased_disk.js";
import { MemoryOverlay } from "../../image_gateway/console/open/overlay.js";
import { BLOCK, ETAG, FakeClock, FakeGateway, FakeLease, imageOf, read, until } from "./open_fakes.mjs";

const SIZE = 20 * BLOCK + 1000;
const IMAGE = imageOf(SIZE);
IMAGE.fill(0, 5 * BLOCK, 6 * BLOCK);

function world(options = {}) {
  const gateway = new FakeGateway(IMAGE);
  const overlay = new MemoryOverlay();
  const events = [];
  const note = (name) => (...facts) => events.push([name, ...facts]);
  const disk = new LeasedDisk({
    size: SIZE,
    sectorSize: 512,
    requests: rangeRequests(SIZE),
    lease: new FakeLease(),
    etag: ETAG,
    overlay,
    listener: { onReadAhead: note("ahead"), onZeros: note("zeros"), onRead: note("read"), onWritten: note("written") },
    fetch: gateway.fetch,
    clock: new FakeClock(),
    random: () => 1,
    ...options,
  });
  const seen = (name) => events.filter(([event]) => event === name).map(([, ...facts]) => facts);
  return { gateway, overlay, disk, seen };
}

const ranges = (gateway) => gateway.requests.map((request) => request.range);
const blocks = (first, count = 1) => `bytes=${first * BLOCK}-${Math.min((first + count) * BLOCK, SIZE) - 1}`;

/** What the guest must see: the image, or zeros behind its end. */
function expected(offset, length) {
  const bytes = new Uint8Array(length);
  bytes.set(IMAGE.subarray(offset, offset + length));
  return bytes;
}

for (const [way, requests] of [
  ["byte ranges", () => rangeRequests(SIZE)],
  ["parts", () => partRequests(BLOCK)],
]) {
  for (const [offset, length] of [
    [0, 512],
    [0, 1],
    [1, 3],
    [BLOCK - 1, 2],
    [BLOCK - 256, 512],
    [3 * BLOCK, BLOCK],
    [3 * BLOCK - 7, 2 * BLOCK + 13],
    [0, SIZE],
    [SIZE - 1, 1],
    [SIZE - 1000, 1024],
    [20 * BLOCK, 2048],
    [SIZE + 100, 512],
  ]) {
    test(`${length} bytes at ${offset} are those of the image, by ${way}`, async () => {
      const { disk } = world({ requests: requests() });
      assert.deepEqual(await read(disk, offset, length), expected(offset, length));
      assert.deepEqual(disk.get_from_cache(offset, length), expected(offset, length));
    });
  }
}

test("the disk has whole sectors, for a hard disk and for a CD", () => {
  assert.equal(world().disk.byteLength, 20 * BLOCK + 1024);
  assert.equal(world({ sectorSize: 2048 }).disk.byteLength, 20 * BLOCK + 2048);
});

test("v86 waits for onload, and finds the first sector in memory after get_and_cache", async () => {
  const { disk } = world();
  await new Promise((resolve) => {
    disk.onload = resolve;
    disk.load();
  });
  assert.equal(disk.get_from_cache(0, 512), undefined);
  await new Promise((resolve) => disk.get_and_cache(0, 512, resolve));
  assert.deepEqual(disk.get_from_cache(0, 512), expected(0, 512));
  disk.get_buffer((buffer) => assert.equal(buffer, undefined));
});

test("bytes in memory are given at once, without a request", async () => {
  const { disk, gateway } = world();
  await read(disk, 100, 10);
  let got;
  disk.get(200, 512, (bytes) => (got = bytes));
  assert.deepEqual(got, expected(200, 512));
  assert.deepEqual(ranges(gateway), [blocks(0)]);
});

test("reads that overlap get each block once, and adjacent blocks by one request", async () => {
  const { disk, gateway } = world();
  const both = [read(disk, 2 * BLOCK, 3 * BLOCK), read(disk, 3 * BLOCK + 5, 3 * BLOCK)];
  assert.deepEqual(await Promise.all(both), [expected(2 * BLOCK, 3 * BLOCK), expected(3 * BLOCK + 5, 3 * BLOCK)]);
  assert.deepEqual(ranges(gateway), [blocks(2, 5)]);
});

test("a read while its block is on the way adds no request", async () => {
  const { disk, gateway } = world();
  let open;
  gateway.gate = new Promise((resolve) => (open = resolve));
  const first = read(disk, 0, 512);
  await until(() => gateway.running === 1);
  const second = read(disk, 512, 512);
  open();
  assert.deepEqual(await Promise.all([first, second]), [expected(0, 512), expected(512, 512)]);
  assert.deepEqual(ranges(gateway), [blocks(0)]);
});

test("one request has at most 16 blocks, and only what is not in memory", async () => {
  const { disk, gateway } = world();
  await read(disk, 3 * BLOCK, 512);
  await read(disk, 0, SIZE);
  assert.deepEqual(ranges(gateway), [blocks(3), blocks(0, 3), blocks(4, 16), blocks(20)]);
});

test("a few requests run at a time", async () => {
  const { disk, gateway } = world({ requests: partRequests(BLOCK), parallel: 3 });
  assert.deepEqual(await read(disk, 0, SIZE), expected(0, SIZE));
  assert.equal(gateway.requests.length, 21);
  assert.equal(gateway.mostRunning, 3);
});

test("memory is bounded: the block that was not used for the longest time is read again", async () => {
  const { disk, gateway } = world({ cacheBytes: 3 * BLOCK });
  for (const block of [0, 1, 2]) await read(disk, block * BLOCK, 512);
  await read(disk, 0, 512);
  await read(disk, 3 * BLOCK, 512);
  assert.equal(disk.cachedBytes, 3 * BLOCK);
  gateway.requests.length = 0;
  await read(disk, 0, 512);
  assert.deepEqual(ranges(gateway), []);
  assert.deepEqual(await read(disk, BLOCK, 512), expected(BLOCK, 512));
  assert.deepEqual(ranges(gateway), [blocks(1)]);
});

test("a read that is larger than the memory is right all the same", async () => {
  const { disk } = world({ cacheBytes: 2 * BLOCK });
  assert.deepEqual(await read(disk, 0, SIZE), expected(0, SIZE));
  assert.ok(disk.cachedBytes <= 2 * BLOCK);
});

test("the guest reads what it wrote, over the image, across blocks", async () => {
  const { disk, seen } = world();
  const data = new Uint8Array(1024).fill(0xaa);
  const offset = 2 * BLOCK - 512;
  let isDone = false;
  disk.set(offset, data, () => (isDone = true));
  assert.ok(isDone);
  data.fill(0xbb); // v86 uses its buffer again
  const wanted = expected(offset - 100, 1300);
  wanted.fill(0xaa, 100, 1124);
  assert.deepEqual(await read(disk, offset - 100, 1300), wanted);
  assert.deepEqual(seen("written"), [[offset, 1024]]);
});

test("what was written as a whole is not asked for", async () => {
  const { disk, gateway } = world();
  disk.set(4 * BLOCK, new Uint8Array(2 * BLOCK).fill(7), () => {});
  assert.deepEqual(await read(disk, 4 * BLOCK + 5, 2 * BLOCK - 5), new Uint8Array(2 * BLOCK - 5).fill(7));
  assert.deepEqual(ranges(gateway), []);
  await read(disk, 4 * BLOCK - 1, 2 * BLOCK + 2);
  assert.deepEqual(ranges(gateway), [blocks(3), blocks(6)]);
});

test("a write while the block is on its way is not lost", async () => {
  const { disk, gateway } = world();
  let open;
  gateway.gate = new Promise((resolve) => (open = resolve));
  const reading = read(disk, 0, 1024);
  await until(() => gateway.running === 1);
  disk.set(512, new Uint8Array(512).fill(9), () => {});
  open();
  const wanted = expected(0, 1024);
  wanted.fill(9, 512);
  assert.deepEqual(await reading, wanted);
});

test("a saved state has the writes, and a restored one no others", async () => {
  const { disk } = world();
  disk.set(512, new Uint8Array(512).fill(1), () => {});
  const state = structuredClone(disk.get_state());
  disk.set(512, new Uint8Array(1024).fill(2), () => {});
  disk.set_state(state);
  const wanted = expected(0, 2048);
  wanted.fill(1, 512, 1024);
  assert.deepEqual(await read(disk, 0, 2048), wanted);
});

test("a read that v86 has cancelled is not answered, and its block is kept", async () => {
  const { disk, gateway } = world();
  const cancelled = new AbortController();
  let isDone = false;
  disk.get(0, 512, () => (isDone = true), { signal: cancelled.signal });
  cancelled.abort();
  await read(disk, 512, 512);
  assert.equal(isDone, false);
  assert.deepEqual(ranges(gateway), [blocks(0)]);
});

test("what is read ahead comes in its order, and after what the guest waits for", async () => {
  const { disk, gateway, seen } = world({ parallel: 1 });
  disk.readAhead([9 * BLOCK + 3, 3 * BLOCK, 4 * BLOCK, 9 * BLOCK, 100 * BLOCK, 12 * BLOCK]);
  const wanted = read(disk, 7 * BLOCK, 512);
  await until(() => gateway.requests.length === 4 && gateway.running === 0);
  assert.deepEqual(await wanted, expected(7 * BLOCK, 512));
  assert.deepEqual(ranges(gateway), [blocks(7), blocks(9), blocks(3, 2), blocks(12)]);
  await until(() => seen("ahead").length === 4);
  assert.deepEqual(seen("ahead"), [9, 3, 4, 12].map((block) => [block * BLOCK, BLOCK]));
  await read(disk, 4 * BLOCK, 512);
  assert.equal(gateway.requests.length, 4);
});

test("the guest need not wait for what is read ahead", async () => {
  const { disk, gateway } = world({ parallel: 3 });
  let open;
  gateway.gate = new Promise((resolve) => (open = resolve));
  disk.readAhead([2, 4, 6, 8, 10].map((block) => block * BLOCK));
  await until(() => gateway.running === 2);
  const wanted = [read(disk, 0, 512), read(disk, 2 * BLOCK, 512)];
  await until(() => gateway.running === 3);
  assert.deepEqual(ranges(gateway), [blocks(2), blocks(4), blocks(0)]);
  open();
  await Promise.all(wanted);
});

test("no more is read ahead than three quarters of the memory", async () => {
  const { disk, gateway } = world({ cacheBytes: 8 * BLOCK });
  disk.readAhead(Array.from({ length: 20 }, (_, block) => block * BLOCK));
  await until(() => gateway.requests.length > 0 && gateway.running === 0);
  assert.deepEqual(ranges(gateway), [blocks(0, 6)]);
});

test("reads and blocks of zeros are told", async () => {
  const { disk, seen } = world();
  await read(disk, 5 * BLOCK, 512);
  await read(disk, 6 * BLOCK, 512);
  await read(disk, SIZE - 24, 512);
  assert.deepEqual(seen("read"), [
    [5 * BLOCK, 512],
    [6 * BLOCK, 512],
    [SIZE - 24, 24],
  ]);
  assert.deepEqual(seen("zeros"), [[5 * BLOCK, BLOCK]]);
});

test("a closed disk answers nothing more", async () => {
  const { disk, gateway } = world();
  let open;
  gateway.gate = new Promise((resolve) => (open = resolve));
  let isDone = false;
  disk.get(0, 512, () => (isDone = true));
  await until(() => gateway.running === 1);
  disk.close();
  open();
  await until(() => gateway.running === 0);
  assert.equal(isDone, false);
});
