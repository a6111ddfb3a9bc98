// How a disk is divided, by what its first sectors say; damaged and hostile tables are described, not believed.
import assert from "node:assert/strict";
import test from "node:test";

import { crc32 } from "../../image_gateway/console/lib/crc32.js";
import { readLayout } from "../../image_gateway/console/image/partitions.js";
import { Disk, PROTECTIVE, appleEntry, ext, fat, gpt, iso, mbr } from "./disks.mjs";

const MIB = 2 ** 20;
const MOST_READS = 12;

async function layoutOf(disk) {
  const layout = await readLayout(disk.read, disk.size);
  assert.ok(disk.reads.length <= MOST_READS, `${disk.reads.length} reads`);
  for (const [start, length] of disk.reads) {
    assert.ok(start >= 0 && length > 0 && start + length <= disk.size, "reads lie within the disk");
    assert.ok(length <= 68 * 1024, "reads are small");
  }
  return layout;
}

/** [number, type, start, size] of each partition. */
const places = ({ partitions }) => partitions.map(({ number, type, start, size }) => [number, type, start, size]);

test("the checksum is that of IEEE 802.3", () => assert.equal(crc32(Buffer.from("123456789")), 0xcbf43926));

test("primary partitions of an MBR, and what is in them", async () => {
  const disk = new Disk(64 * MIB)
    .write(0, mbr([0x0c, 2048, 4096, true], [0x83, 6144, 8192], [0, 0, 0], [0x42, 14336, 100]))
    .write(2048 * 512, fat({ sectors: 4000, label: "BOOT" }))
    .write(6144 * 512, ext({ compat: 4, incompat: 0x40, label: "wurzel-ä" }));
  const layout = await layoutOf(disk);
  assert.equal(layout.table, "MBR");
  assert.deepEqual(places(layout), [
    [1, "FAT32", MIB, 2 * MIB],
    [2, "Linux", 3 * MIB, 4 * MIB],
    [4, "Type 0x42", 7 * MIB, 51200],
  ]);
  assert.deepEqual(
    layout.partitions.map((one) => one.filesystem),
    [{ type: "FAT12", label: "BOOT" }, { type: "ext4", label: "wurzel-ä" }, null],
  );
  assert.deepEqual([layout.partitions[0].isActive, layout.partitions[1].isActive], [true, false]);
  assert.deepEqual(layout.problems, []);
  assert.equal(disk.reads.length, 4);
});

test("logical partitions are found through the chain of their tables", async () => {
  const disk = new Disk(64 * MIB)
    .write(0, mbr([0x83, 63, 100], [0x05, 1000, 5000]))
    .write(1000 * 512, mbr([0x82, 10, 90], [0x05, 200, 300]))
    .write(1200 * 512, mbr([0x83, 20, 80], [0x05, 600, 300]))
    .write(1600 * 512, mbr([0x83, 30, 70]));
  const layout = await layoutOf(disk);
  assert.deepEqual(places(layout), [
    [1, "Linux", 63 * 512, 100 * 512],
    [2, "Extended", 1000 * 512, 5000 * 512],
    [5, "Linux swap", 1010 * 512, 90 * 512],
    [6, "Linux", 1220 * 512, 80 * 512],
    [7, "Linux", 1630 * 512, 70 * 512],
  ]);
  assert.deepEqual(layout.problems, []);
});

for (const [what, next] of [
  ["itself", 0],
  ["an earlier table", 100],
]) {
  test(`a chain of logical partitions that leads back to ${what} ends there`, async () => {
    const disk = new Disk(64 * MIB)
      .write(0, mbr([0x0f, 1000, 5000]))
      .write(1000 * 512, mbr([0x83, 10, 20], [0x05, 100, 50]))
      .write(1100 * 512, mbr([0x83, 10, 20], [0x05, next, 50]));
    const layout = await layoutOf(disk);
    assert.deepEqual(
      layout.partitions.map(({ number }) => number),
      [1, 5, 6],
    );
    assert.match(layout.problems.join(), /loop/);
  });
}

test("a loop within the first bytes, which cost no read, ends too", async () => {
  const disk = new Disk(64 * MIB)
    .write(0, mbr([0x05, 0, 5000], [0x05, 2, 10]))
    .write(1024, mbr([0x83, 1, 1], [5, 0, 9]));
  assert.match((await layoutOf(disk)).problems.join(), /loop/);
});

test("a long chain is read in part", async () => {
  const disk = new Disk(64 * MIB).write(0, mbr([0x05, 1000, 100000]));
  for (let index = 0; index < 40; index++) {
    disk.write((1000 + 1000 * index) * 512, mbr([0x83, 10, 20], [0x05, 1000 * (index + 1), 500]));
  }
  const layout = await layoutOf(disk);
  assert.ok(layout.partitions.length > 5);
  assert.match(layout.problems.join(), /more logical partitions than are read/);
});

test("a chain that ends in the void is described up to there", async () => {
  const disk = new Disk(64 * MIB).write(0, mbr([0x05, 1000, 5000])).write(512000, mbr([0x83, 10, 20], [5, 2 ** 31, 9]));
  const layout = await layoutOf(disk);
  assert.equal(layout.partitions.length, 2);
  assert.match(layout.problems.join(), /no table of a logical partition/);
});

test("partitions beyond the disk, upon each other and without size are said to be so", async () => {
  const disk = new Disk(MIB).write(
    0,
    mbr([0x83, 1, 0xffffffff], [0x83, 0xffffffff, 0xffffffff], [0x83, 100, 0], [0x83, 200, 10]),
  );
  const { problems } = await layoutOf(disk);
  assert.deepEqual(problems, [
    "Partition 1 reaches beyond the end of the disk.",
    "Partition 2 begins beyond the end of the disk.",
    "Partition 3 has no size.",
    "Partitions 1 and 4 overlap.",
  ]);
});

for (const sector of [512, 4096]) {
  test(`a GPT with sectors of ${sector} bytes`, async () => {
    const disk = gpt(
      new Disk(64 * MIB),
      [
        [256, 511, "EFI 💾"],
        [512, 767, ""],
      ],
      { sector },
    );
    disk.write(512 * sector, ext());
    const layout = await layoutOf(disk);
    assert.deepEqual([layout.table, layout.sector, layout.problems], ["GPT", sector, []]);
    assert.deepEqual(places(layout), [
      [1, "Linux", 256 * sector, 256 * sector],
      [2, "Linux", 512 * sector, 256 * sector],
    ]);
    assert.deepEqual(
      layout.partitions.map(({ name, filesystem }) => [name, filesystem?.type]),
      [
        ["EFI 💾", undefined],
        ["", "ext2"],
      ],
    );
  });
}

test("a GPT whose entries are damaged is read from its copy", async () => {
  const disk = gpt(new Disk(64 * MIB), [[256, 511, "data"]]).write(1024 + 40, Buffer.from([0xff, 0xff]));
  const layout = await layoutOf(disk);
  assert.deepEqual(places(layout), [[1, "Linux", 256 * 512, 256 * 512]]);
  assert.match(layout.problems.join(), /checksum of the table's entries is wrong.*copy from the disk's end/);
});

test("a GPT whose header is overwritten is read from its copy", async () => {
  const disk = gpt(new Disk(64 * MIB), [[256, 511, "data"]]).write(512, new Uint8Array(512));
  const layout = await layoutOf(disk);
  assert.equal(layout.partitions.length, 1);
  assert.match(layout.problems.join(), /beginning is missing/);
});

test("a GPT that is damaged in both places shows what it has, and says so", async () => {
  const disk = gpt(new Disk(64 * MIB), [[256, 511, "data"]]);
  disk.write(512 + 16, Buffer.from([1, 2, 3, 4])).write(disk.size - 512, new Uint8Array(512));
  const layout = await layoutOf(disk);
  assert.equal(layout.partitions.length, 1);
  assert.match(layout.problems.join(), /checksum of the table's header is wrong/);
  assert.match(layout.problems.join(), /missing or damaged, too/);
});

for (const [what, change] of [
  ["4 billion entries", (header) => header.writeUInt32LE(0xffffffff, 80)],
  ["entries of no bytes", (header) => header.writeUInt32LE(0, 84)],
  ["entries of 127 bytes", (header) => header.writeUInt32LE(127, 84)],
]) {
  test(`a GPT that claims ${what} is not believed`, async () => {
    const layout = await layoutOf(gpt(new Disk(64 * MIB), [[256, 511, "data"]], { change }));
    assert.deepEqual(layout.partitions, []);
    assert.match(layout.problems.join(), /cannot be/);
  });
}

test("a GPT whose entries lie beyond the end of the disk", async () => {
  const change = (header) => header.writeBigUInt64LE(2n ** 63n, 72);
  const layout = await layoutOf(gpt(new Disk(64 * MIB), [[256, 511, "data"]], { change }));
  assert.deepEqual(layout.partitions, []);
  assert.match(layout.problems.join(), /checksum of the table's entries/);
});

test("partitions of a GPT whose places cannot be are said to be so", async () => {
  const last = 2n ** 64n - 1n;
  const { problems } = await layoutOf(
    gpt(new Disk(64 * MIB), [
      [256, last, "a"],
      [600, 500, "b"],
      [last, last, "c"],
    ]),
  );
  assert.deepEqual(problems.slice(0, 3), [
    "Partition 1 reaches beyond the end of the disk.",
    "Partition 2 has no size.",
    "Partition 3 begins beyond the end of the disk.",
  ]);
});

test("names in tables have no control characters", async () => {
  const layout = await layoutOf(gpt(new Disk(64 * MIB), [[256, 511, "a\u202eb\u0007c<img>"]]));
  assert.equal(layout.partitions[0].name, "a�b�c<img>");
});

test("a protective MBR without a GPT", async () => {
  const layout = await layoutOf(new Disk(64 * MIB).write(0, PROTECTIVE));
  assert.equal(layout.table, "MBR");
  assert.match(layout.problems.join(), /says that there is a GPT, but there is none/);
});

for (const block of [512, 2048]) {
  test(`an Apple partition map with blocks of ${block} bytes`, async () => {
    const driver = Buffer.alloc(512);
    driver.write("ER");
    driver.writeUInt16BE(block, 2);
    const disk = new Disk(64 * MIB)
      .write(0, driver)
      .write(block, appleEntry(2, 1, 8, "Apple", "Apple_partition_map"))
      .write(2 * block, appleEntry(2, 64, 1000, "MacOS \x8a", "Apple_HFS"))
      .write(64 * block + 1024, "BD")
      .write(64 * block + 1024 + 36, "\x04Disk");
    const layout = await layoutOf(disk);
    assert.equal(layout.table, "Apple partition map");
    assert.deepEqual(places(layout)[1], [2, "Apple_HFS", 64 * block, 1000 * block]);
    assert.equal(layout.partitions[1].name, "MacOS ä");
    assert.deepEqual(layout.partitions[1].filesystem, { type: "HFS", label: "Disk" });
    assert.deepEqual(layout.problems, []);
  });
}

test("an Apple partition map that claims more entries than it has", async () => {
  const disk = new Disk(64 * MIB).write(512, appleEntry(0xffffffff, 1, 8, "Apple", "Apple_partition_map"));
  const layout = await layoutOf(disk);
  assert.equal(layout.partitions.length, 1);
  assert.match(layout.problems.join(), /entry 2 is missing/);
});

for (const [type, label, disk] of [
  ["ISO 9660", "DEBIAN 12", new Disk(64 * MIB).write(16 * 2048, iso("DEBIAN 12"))],
  ["ext2", "", new Disk(64 * MIB).write(0, ext())],
  ["ext3", "home", new Disk(64 * MIB).write(0, ext({ compat: 4, label: "home" }))],
  ["ext4", "", new Disk(64 * MIB).write(0, ext({ compat: 4, readOnly: 0x400 }))],
  ["FAT12", "FLOPPY", new Disk(1474560).write(0, fat({ sectors: 2880, tableSectors: 9, label: "FLOPPY" }))],
  ["FAT16", "", new Disk(64 * MIB).write(0, fat({ sectors: 131072, cluster: 4, tableSectors: 128, label: "NO NAME" }))],
  ["FAT32", "BIG", new Disk(64 * MIB).write(0, fat({ sectors: 131072, tableSectors: 1009, label: "BIG", at: 71 }))],
  ["NTFS", "", new Disk(64 * MIB).write(3, "NTFS    ").write(510, "\x55\xaa")],
  ["HFS+", "", new Disk(64 * MIB).write(1024, "H+")],
  ["Btrfs", "", new Disk(64 * MIB).write(65600, "_BHRfS_M")],
  ["Linux swap", "", new Disk(64 * MIB).write(4086, "SWAPSPACE2")],
  ["SQLite database", "", new Disk(8192).write(0, "SQLite format 3\0")],
]) {
  test(`a disk that is ${type} as a whole`, async () => {
    const layout = await layoutOf(disk);
    assert.deepEqual([layout.table, layout.filesystem], [null, { type, label }]);
    assert.deepEqual([layout.partitions, layout.problems], [[], []]);
  });
}

test("a CD that is a disk, too", async () => {
  const disk = new Disk(64 * MIB).write(0, mbr([0x17, 0, 131072, true])).write(16 * 2048, iso("LIVE"));
  const layout = await layoutOf(disk);
  assert.deepEqual([layout.table, layout.filesystem?.label], ["MBR", "LIVE"]);
});

for (const size of [0, 1, 511, 512, 513, 4095, 70000]) {
  test(`an empty disk of ${size} bytes`, async () => {
    const layout = await layoutOf(new Disk(size));
    assert.deepEqual([layout.table, layout.partitions, layout.filesystem], [null, [], null]);
  });
}

test("a failed read is an error", async () => {
  const failing = async () => Promise.reject(new Error("no network"));
  await assert.rejects(readLayout(failing, MIB), /no network/);
});

test("any bytes are described", async () => {
  let state = 12345;
  const random = () => (state = (state * 1103515245 + 12345) & 0x7fffffff) >>> 8;
  const { pieces } = gpt(new Disk(MIB), [[40, 50, "x"]]);
  for (let round = 0; round < 300; round++) {
    const disk = new Disk(MIB);
    disk.pieces.push(...pieces);
    disk.write(0, mbr([0x05, random() % 300, random() % 3000], [0x83, 1, 9]));
    if (round % 3 === 0) disk.write(512, appleEntry(random() % 90, 1, 8, "x", "y"));
    for (let bytes = 0; bytes < 40; bytes++) disk.write(random() % 70000, Uint8Array.of(random()));
    for (let bytes = 0; bytes < 9; bytes++) disk.write(512 + (random() % 92), Uint8Array.of(random()));
    await layoutOf(disk);
  }
});
