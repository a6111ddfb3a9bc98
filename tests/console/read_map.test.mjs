// The map of reads counts blocks once, sums them up in cells, and says the same in words.
import assert from "node:assert/strict";
import test from "node:test";

import { duration, size } from "../../image_gateway/console/lib/format.js";
import {
  describe,
  gridOf,
  mapBlockSize,
  READ,
  READ_AHEAD,
  ReadMap,
  WRITTEN,
  ZEROS,
} from "../../image_gateway/console/open/read_map.js";

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
const NOW = 1_800_000_000_000;

for (const [bytes, blockSize, blocks, cells] of [
  [512, 4 * KIB, 1, 1],
  [MIB, 4 * KIB, 256, 256],
  [MIB + 1, 4 * KIB, 257, 257],
  [2 * GIB, 4 * KIB, 524_288, 2048],
  [2 * GIB + 1, 8 * KIB, 262_145, 2033],
  [100 * GIB, 256 * KIB, 409_600, 2048],
  [100e9, 256 * KIB, 381_470, 2040],
  [5 * 1024 * GIB, 16 * MIB, 327_680, 2048],
]) {
  test(`a disk of ${size(bytes)} has blocks of ${size(blockSize)} and ${cells} cells`, () => {
    const map = new ReadMap(bytes, mapBlockSize(bytes));
    assert.deepEqual([map.blockSize, map.blockCount, map.cellCount], [blockSize, blocks, cells]);
    map.note(READ, 0, bytes, NOW);
    assert.equal(map.totals().read, blocks);
    for (let index = 0; index < cells; index += 1) assert.equal(map.cell(index, NOW).share, 1);
  });
}

test("blocks that a read touches are counted, each once", () => {
  const map = new ReadMap(10 * 4096, 4096);
  map.note(READ, 4095, 2, NOW);
  map.note(READ, 4096, 4096, NOW);
  map.note(READ, 39_000, 10_000, NOW);
  map.note(READ, 50_000, 512, NOW);
  map.note(READ, 8192, 0, NOW);
  assert.equal(map.totals().read, 3);
  assert.deepEqual(map.totals().lastRead, { offset: 39_000, time: NOW });
  assert.deepEqual([0, 1, 2, 9].map((index) => map.cell(index, NOW).kind), ["read", "read", "untouched", "read"]);
});

test("a cell shows what stands out: written, zeros only, read, read ahead", () => {
  const map = new ReadMap(40 * 4096, 4096, 4);
  const at = (block) => block * 4096;
  assert.equal(map.blocksPerCell, 10);
  map.note(READ_AHEAD, at(0), 4096, NOW);
  assert.equal(map.cell(0, NOW).kind, "ahead");
  map.note(READ, at(1), 4096, NOW);
  assert.equal(map.cell(0, NOW).kind, "read");
  map.note(ZEROS, at(1), 4096, NOW);
  assert.equal(map.cell(0, NOW).kind, "read");
  map.note(WRITTEN, at(2), 512, NOW);
  assert.deepEqual(map.cell(0, NOW), { kind: "written", share: 0.3, age: 0 });
  map.note(READ, at(10), at(2), NOW);
  map.note(ZEROS, at(10), at(2), NOW);
  assert.deepEqual(map.cell(1, NOW), { kind: "zeros", share: 0.2, age: 0 });
  assert.deepEqual(map.cell(2, NOW), { kind: "untouched", share: 0, age: Infinity });
  const lastRead = { offset: at(10), time: NOW };
  assert.deepEqual(map.totals(), { read: 3, ahead: 1, zeros: 3, written: 1, blocks: 40, lastRead });
});

test("the last cell may have fewer blocks", () => {
  const map = new ReadMap(11 * 4096, 4096, 4);
  assert.deepEqual([map.blocksPerCell, map.cellCount], [3, 4]);
  map.note(READ, 9 * 4096, 4096, NOW);
  assert.equal(map.cell(3, NOW).share, 0.5);
});

test("the age of a cell counts from its last event; that there are zeros is none", () => {
  const map = new ReadMap(4096, 4096);
  map.note(READ, 0, 512, NOW);
  map.note(READ, 0, 512, NOW + 1000);
  map.note(ZEROS, 0, 512, NOW + 2000);
  assert.equal(map.cell(0, NOW + 5000).age, 4000);
});

test("the map in words", () => {
  const map = new ReadMap(100 * GIB, 256 * KIB);
  assert.equal(
    describe(map, NOW, { size, duration }),
    "0 of 409,600 blocks of 256 KiB read (0 %), 0 read ahead, 0 with zeros only, 0 written. Nothing has been read yet.",
  );
  map.note(READ, 50 * GIB, 1234 * 256 * KIB, NOW);
  map.note(READ_AHEAD, 0, 256 * KIB, NOW);
  map.note(WRITTEN, 0, 256 * KIB, NOW);
  assert.equal(
    describe(map, NOW + 90_000, { size, duration }),
    "1,234 of 409,600 blocks of 256 KiB read (0.3 %), 1 read ahead, 0 with zeros only, 1 written. " +
      "Last read at 50 GiB, 1 min 30 s ago.",
  );
});

for (const width of [200, 328, 1088]) {
  for (const cells of [1, 256, 1025, 2048]) {
    test(`${cells} cells have room in ${width} pixels`, () => {
      const { columns, rows, pitch } = gridOf(cells, width, 260);
      assert.ok(columns * pitch <= width);
      assert.ok(columns * rows >= cells && columns * (rows - 1) < cells);
      assert.ok(pitch >= 4 && pitch <= 24);
      assert.ok(rows * pitch <= 260 || pitch === 4);
    });
  }
}
