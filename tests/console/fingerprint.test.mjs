import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import test from "node:test";
import { fingerprint, sampledBlocks } from "../../image_gateway/console/upload/fingerprint.js";
import { bytesOf } from "./upload_world.mjs";

const LIMIT = 32 * 16 * 1024;

for (const size of [0, 1, LIMIT - 1, LIMIT]) {
  test(`a file of ${size} bytes is sampled as a whole`, async () => {
    assert.deepEqual(sampledBlocks(size), [{ start: 0, end: size }]);
    const hex = createHash("sha256").update(bytesOf(size)).digest("hex");
    assert.equal(await fingerprint(new Blob([bytesOf(size)])), hex);
  });
}

for (const size of [LIMIT + 1, 10 * LIMIT + 7, 100 * 1024 ** 3]) {
  test(`of ${size} bytes half a MiB is read, from the first to the last`, () => {
    const blocks = sampledBlocks(size);
    assert.equal(blocks.length, 32);
    assert.deepEqual([blocks[0].start, blocks.at(-1).end], [0, size]);
    blocks.forEach(({ start, end }, index) => {
      assert.equal(end - start, 16 * 1024);
      assert.ok(index === 0 || start >= blocks[index - 1].end);
    });
  });
}

test("a change of any sampled block changes the fingerprint, another one does not", async () => {
  const bytes = bytesOf(2 * LIMIT);
  const before = await fingerprint(new Blob([bytes]));
  const blocks = sampledBlocks(bytes.length);
  for (const { start, end } of [blocks[0], blocks[17], blocks[31]]) {
    for (const at of [start, end - 1]) {
      const changed = bytes.slice();
      changed[at] ^= 1;
      assert.notEqual(await fingerprint(new Blob([changed])), before);
    }
  }
  const unseen = bytes.slice();
  unseen[blocks[0].end] ^= 1;
  assert.equal(await fingerprint(new Blob([unseen])), before);
});

test("a page without crypto.subtle finds the same fingerprint", async () => {
  const blob = new Blob([bytesOf(100_000)]);
  const before = await fingerprint(blob);
  const { crypto } = globalThis;
  Object.defineProperty(globalThis, "crypto", { value: {}, configurable: true });
  try {
    assert.equal(await fingerprint(blob), before);
  } finally {
    Object.defineProperty(globalThis, "crypto", { value: crypto, configurable: true });
  }
});

test("a file that cannot be read is an error that says so", async () => {
  const blob = new Blob(["x"]);
  const arrayBuffer = Blob.prototype.arrayBuffer;
  Blob.prototype.arrayBuffer = () => Promise.reject(new DOMException("gone", "NotReadableError"));
  try {
    await assert.rejects(fingerprint(blob), { kind: "file-changed" });
  } finally {
    Blob.prototype.arrayBuffer = arrayBuffer;
  }
});
