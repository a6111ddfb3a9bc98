import assert from "node:assert/strict";
import test from "node:test";
import { MAX_PARTS, PartPlan } from "../../image_gateway/console/upload/part_plan.js";

const MIB = 1024 * 1024;

for (const [size, partSize, count, last] of [
  [0, 100, 1, 0],
  [1, 100, 1, 1],
  [99, 100, 1, 99],
  [100, 100, 1, 100],
  [101, 100, 2, 1],
  [199, 100, 2, 99],
  [200, 100, 2, 100],
  [201, 100, 3, 1],
  [MAX_PARTS * 100 - 1, 100, MAX_PARTS, 99],
  [MAX_PARTS * 100, 100, MAX_PARTS, 100],
  [100 * 1024 * MIB, 64 * MIB, 1600, 64 * MIB],
  [MAX_PARTS * 5 * 1024 * MIB, 5 * 1024 * MIB, MAX_PARTS, 5 * 1024 * MIB],
]) {
  test(`${size} bytes in parts of ${partSize} are ${count}`, () => {
    const plan = new PartPlan(size, partSize);
    assert.equal(plan.count, count);
    assert.equal(plan.length(count), last);
    assert.equal(plan.part(1).start, 0);
    assert.equal(plan.part(count).end, size);
  });
}

test("the parts cover the file without gap or overlap", () => {
  for (let size = 0; size <= 50; size += 1) {
    for (let partSize = 1; partSize <= 12; partSize += 1) {
      const plan = new PartPlan(size, partSize);
      let at = 0;
      for (let number = 1; number <= plan.count; number += 1) {
        const { start, end } = plan.part(number);
        assert.equal(start, at);
        assert.ok(end - start === partSize || number === plan.count);
        at = end;
      }
      assert.equal(at, size);
    }
  }
});

test("one byte more than 10,000 parts hold is refused", () => {
  assert.throws(() => new PartPlan(MAX_PARTS * 100 + 1, 100), RangeError);
});

for (const [size, partSize] of [[-1, 5], [1.5, 5], [NaN, 5], [2 ** 53, 5], [5, 0], [5, -1], [5, 0.5]]) {
  test(`a file of ${size} bytes in parts of ${partSize} is no plan`, () => {
    assert.throws(() => new PartPlan(size, partSize), RangeError);
  });
}

for (const number of [0, 4, -1, 1.5, NaN]) {
  test(`part ${number} of three is no part`, () => {
    assert.throws(() => new PartPlan(300, 100).part(number), RangeError);
  });
}

test("missing are the parts that are not stored, or not in their exact size", () => {
  const plan = new PartPlan(250, 100);
  const stored = (...sizes) => sizes.map(([partNumber, size]) => ({ partNumber, size }));
  assert.deepEqual(plan.missing([]), [1, 2, 3]);
  assert.deepEqual(plan.missing(stored([1, 100], [2, 100], [3, 50])), []);
  assert.deepEqual(plan.missing(stored([3, 50], [1, 100])), [2]);
  assert.deepEqual(plan.missing(stored([1, 99], [2, 101], [3, 100])), [1, 2, 3]);
  assert.deepEqual(plan.missing(stored([4, 100], [1, 100])), [2, 3]);
});

test("an empty file is stored when its empty part is", () => {
  const plan = new PartPlan(0, 100);
  assert.deepEqual(plan.missing([]), [1]);
  assert.deepEqual(plan.missing([{ partNumber: 1, size: 0 }]), []);
});

test("the stored bytes are those of the parts that are not missing", () => {
  const plan = new PartPlan(250, 100);
  assert.equal(plan.storedBytes([1, 2, 3]), 0);
  assert.equal(plan.storedBytes([2]), 150);
  assert.equal(plan.storedBytes([3]), 200);
  assert.equal(plan.storedBytes([]), 250);
});
