import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import test from "node:test";
import { Sha256 } from "../../image_gateway/console/upload/sha256.js";
import { bytesOf } from "./upload_world.mjs";

const text = (value) => new TextEncoder().encode(value);
const expected = (bytes) => createHash("sha256").update(bytes).digest("hex");

// FIPS 180-4 examples, and NIST's million of the letter a.
for (const [message, hex] of [
  ["", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
  ["abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
  [
    "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
  ],
  ["a".repeat(1_000_000), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"],
]) {
  test(`a known message of ${message.length} bytes`, () => {
    assert.equal(new Sha256().update(text(message)).hex(), hex);
  });
}

test("every length up to four blocks and one byte", () => {
  for (let length = 0; length <= 257; length += 1) {
    const bytes = bytesOf(length);
    assert.equal(new Sha256().update(bytes).hex(), expected(bytes), `${length} bytes`);
  }
});

test("any two cuts of a message make no difference", () => {
  const bytes = bytesOf(200);
  const hex = expected(bytes);
  for (let first = 0; first <= 200; first += 1) {
    for (let second = first; second <= 200; second += 13) {
      const hash = new Sha256().update(bytes.subarray(0, first)).update(bytes.subarray(first, second));
      assert.equal(hash.update(bytes.subarray(second)).hex(), hex, `cut at ${first} and ${second}`);
    }
  }
});

test("pieces of many sizes, as long as a slice of a file", () => {
  const bytes = bytesOf(3_000_001);
  for (const step of [1000, 4096, 65_537, 1_048_576, 2_999_999]) {
    const hash = new Sha256();
    for (let at = 0; at < bytes.length; at += step) hash.update(bytes.subarray(at, at + step));
    assert.equal(hash.hex(), expected(bytes), `in steps of ${step}`);
  }
});

test("bytes may be added after the hash was read", () => {
  const hash = new Sha256().update(text("ab"));
  assert.equal(hash.hex(), expected(text("ab")));
  assert.equal(hash.hex(), expected(text("ab")));
  assert.equal(hash.update(text("c")).hex(), expected(text("abc")));
});

test("a message whose length in bits needs more than 32 bits", () => {
  const [hash, reference] = [new Sha256(), createHash("sha256")];
  const bytes = bytesOf(16 * 1024 * 1024 + 1);
  for (let round = 0; round < 33; round += 1) {
    hash.update(bytes);
    reference.update(bytes);
  }
  assert.equal(hash.hex(), reference.digest("hex"));
});
