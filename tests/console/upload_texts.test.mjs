import assert from "node:assert/strict";
import test from "node:test";
import { detailOf, factsOf, percentOf, STATES, totalsText } from "../../image_gateway/console/pages/upload_texts.js";

const MIB = 1024 * 1024;

function upload(more) {
  const progress = { size: 200 * MIB, sentBytes: 0, rate: 0, secondsLeft: null, hashedBytes: 0, keptBytes: 0 };
  const facts = { state: "uploading", formatLabel: "QCOW2", format: "qcow2", error: null, waitReason: null };
  return { ...progress, ...facts, isResumed: false, isRemembered: true, isOver: false, ...more };
}

for (const [what, more, text] of [
  ["before the format is known", { formatLabel: "", state: "queued" }, "200 MiB"],
  ["in the queue", { state: "queued" }, "QCOW2 · 200 MiB"],
  ["on its way", { sentBytes: 50 * MIB, rate: 2 * MIB, secondsLeft: 75 }, "QCOW2 · 50 MiB of 200 MiB (25 %) · 2 MiB/s · 1 min 15 s left"],
  ["waiting", { state: "waiting", sentBytes: 50 * MIB }, "QCOW2 · 50 MiB of 200 MiB (25 %)"],
  ["done", { state: "done", isOver: true, sentBytes: 200 * MIB }, "QCOW2 · 200 MiB"],
]) {
  test(`the numbers of an upload ${what}`, () => assert.equal(factsOf(upload(more)), text));
}

for (const [what, more, words] of [
  ["a failed upload", { state: "failed", error: new Error("the limit is 5") }, /^the limit is 5$/],
  ["waiting for the network", { state: "waiting", waitReason: "offline" }, /no network.*by itself/],
  ["waiting for the gateway", { state: "waiting", waitReason: "gateway" }, /gateway does not answer.*by itself/],
  ["waiting for the store", { state: "waiting", waitReason: "store" }, /store does not answer.*by itself.*CORS/],
  ["a busy server", { state: "waiting", waitReason: "busy" }, /busy.*by itself/],
  ["an ended session", { state: "signed-out" }, /Sign in again.*by itself/],
  ["hashing", { state: "hashing", hashedBytes: 199 * MIB }, /SHA-256: 99 %/],
  ["completing", { state: "completing" }, /joins the parts/],
  ["a finished raw disk", { state: "done", format: "raw" }, /^$/],
  ["another finished format", { state: "done" }, /converts/],
  ["a cancelled upload", { state: "cancelled" }, /Nothing of it is left/],
  ["a resumed upload", { isResumed: true, keptBytes: 30 * MIB }, /30 MiB were in the store already/],
  ["an upload that cannot be resumed", { isRemembered: false }, /begin anew/],
  ["an upload that gets on", {}, /^$/],
]) {
  test(`what is said of ${what}`, () => assert.match(detailOf(upload(more)), words));
}

test("a percentage is never rounded up to 100", () => {
  assert.equal(percentOf({ size: 1000, sentBytes: 999 }), 99);
  assert.equal(percentOf({ size: 1000, sentBytes: 1000 }), 100);
  assert.equal(percentOf({ size: 0, sentBytes: 0 }), 0);
});

test("the numbers of all uploads", () => {
  const totals = { files: 3, done: 1, bytes: 400 * MIB, sentBytes: 100 * MIB, rate: 0, secondsLeft: null };
  assert.equal(totalsText(totals), "1 of 3 files uploaded · 100 MiB of 400 MiB");
  assert.equal(totalsText({ ...totals, files: 1, done: 0 }), "0 of 1 file uploaded · 100 MiB of 400 MiB");
  assert.match(totalsText({ ...totals, rate: 3 * MIB, secondsLeft: 100 }), / · 3 MiB\/s · 1 min 40 s left$/);
});

test("every state has a label", () => {
  const states = "queued preparing uploading hashing completing cancelling waiting signed-out paused done failed cancelled";
  assert.deepEqual(Object.keys(STATES).sort(), states.split(" ").sort());
});
