import assert from "node:assert/strict";
import test from "node:test";
import { StoreUnreachable } from "../../image_gateway/console/upload/part_sender.js";
import { bytesOf, deferred, fileOf, makeWorld, MODIFIED, PART, refusal, settle, until } from "./upload_world.mjs";

const isDone = (upload) => () => upload.state === "done";

function assertWhole(gateway, upload) {
  assert.deepEqual(new Uint8Array(gateway.images.get(upload.imageId).bytes), bytesOf(upload.size));
}

/** A world in which 4 of 10 parts were stored when the page was closed. */
async function interrupted(size = 10 * PART) {
  const world = makeWorld();
  const { engine, gateway, store } = world;
  const gate = deferred();
  store.before = (number) => (number > 4 ? gate.promise : Promise.resolve());
  const upload = engine.add(fileOf(size));
  await until(() => store.atOnce === 3 && gateway.images.get("image-1").parts.size === 4);
  // Closing a page aborts its requests; its locks are released.
  upload.pause();
  await until(() => upload.state === "paused");
  store.before = async () => {};
  store.puts = [];
  gateway.calls = [];
  return world;
}

test("after a reload only the missing parts of the same file are sent", async () => {
  const { gateway, makeEngine, store } = await interrupted();
  const engine = makeEngine();
  const upload = engine.add(fileOf(10 * PART));
  await until(isDone(upload));
  assert.deepEqual(store.numbers(), [5, 6, 7, 8, 9, 10]);
  assert.deepEqual([upload.isResumed, upload.keptBytes, upload.imageId], [true, 4 * PART, "image-1"]);
  assert.equal(gateway.images.size, 1);
  assertWhole(gateway, upload);
});

for (const [size, kept] of [
  [PART - 1, [1, 5, 6, 7, 8, 9, 10]],
  [PART + 1, [1, 5, 6, 7, 8, 9, 10]],
  [0, [1, 5, 6, 7, 8, 9, 10]],
  [PART, [5, 6, 7, 8, 9, 10]],
]) {
  test(`a stored part of ${size} bytes instead of ${PART} is ${kept[0] === 1 ? "sent again" : "kept"}`, async () => {
    const { gateway, makeEngine, store } = await interrupted();
    gateway.images.get("image-1").parts.get(1).size = size;
    const upload = makeEngine().add(fileOf(10 * PART));
    await until(isDone(upload));
    assert.deepEqual(store.numbers(), kept);
  });
}

for (const [what, file] of [
  ["other bytes", () => fileOf(10 * PART, { seed: 2 })],
  ["another date", () => fileOf(10 * PART, { lastModified: MODIFIED + 1000 })],
  ["another size", () => fileOf(10 * PART + 1)],
  ["another name", () => fileOf(10 * PART, { name: "other.img" })],
]) {
  test(`a file with ${what} is a new upload`, async () => {
    const { gateway, makeEngine } = await interrupted();
    const upload = makeEngine().add(file());
    await until(isDone(upload));
    assert.equal(upload.isResumed, false);
    assert.equal(upload.imageId, "image-2");
    assert.equal(gateway.images.get("image-1").state, "uploading");
  });
}

test("another account does not go on with it", async () => {
  const { makeEngine } = await interrupted();
  const upload = makeEngine({ account: "bob" }).add(fileOf(10 * PART));
  await until(isDone(upload));
  assert.equal(upload.imageId, "image-2");
});

test("an upload that was completed when the page was closed is found done", async () => {
  const { gateway, makeEngine, store } = await interrupted();
  gateway.images.get("image-1").state = "complete";
  const upload = makeEngine().add(fileOf(10 * PART));
  await until(isDone(upload));
  assert.deepEqual([upload.imageId, store.puts.length], ["image-1", 0]);
});

for (const [what, change] of [
  ["was aborted", ({ images }) => (images.get("image-1").state = "failed")],
  ["is unknown to the gateway", ({ images }) => images.delete("image-1") && images.set("other", {})],
  ["has another size there", ({ images }) => (images.get("image-1").declared.sizeBytes = 1)],
]) {
  test(`an upload that ${what} is begun anew`, async () => {
    const { gateway, makeEngine } = await interrupted();
    change(gateway);
    const upload = makeEngine().add(fileOf(10 * PART));
    await until(isDone(upload));
    assert.deepEqual([upload.imageId, upload.isResumed, upload.keptBytes], ["image-2", false, 0]);
    assertWhole(gateway, upload);
  });
}

test("unfinished uploads are listed with what is stored, until they are picked or done", async () => {
  const { makeEngine } = await interrupted();
  const engine = makeEngine();
  const { signal } = new AbortController();
  const [{ record, storedBytes, isInUse }] = await engine.unfinished.list(signal);
  assert.deepEqual([record.fileName, record.size, storedBytes, isInUse], ["disk.img", 10 * PART, 4 * PART, false]);
  const upload = engine.add(fileOf(10 * PART));
  await until(() => upload.imageId !== null);
  assert.deepEqual(await engine.unfinished.list(signal), []);
  await until(isDone(upload));
  assert.deepEqual(await makeEngine().unfinished.list(signal), []);
});

test("an unfinished upload that is over at the gateway is forgotten", async () => {
  const { gateway, makeEngine, storage } = await interrupted();
  gateway.images.get("image-1").state = "failed";
  assert.deepEqual(await makeEngine().unfinished.list(new AbortController().signal), []);
  assert.equal(storage.length, 0);
});

test("an unfinished upload can be discarded, also if it is over already", async () => {
  for (const state of ["uploading", "failed", "complete"]) {
    const { gateway, makeEngine, storage } = await interrupted();
    const engine = makeEngine();
    const { signal } = new AbortController();
    const [{ record }] = await engine.unfinished.list(signal);
    gateway.images.get("image-1").state = state;
    await engine.unfinished.discard(record, signal);
    assert.equal(storage.length, 0);
    assert.equal(gateway.images.get("image-1").state, state === "complete" ? "complete" : "failed");
  }
});

test("what another tab uploads is neither sent twice nor taken for abandoned", async () => {
  const { engine, makeEngine, store } = makeWorld();
  const gate = deferred();
  store.before = () => gate.promise;
  const first = engine.add(fileOf(3 * PART));
  await until(() => store.atOnce === 3);
  const otherTab = makeEngine();
  const second = otherTab.add(fileOf(3 * PART));
  await until(() => second.state === "failed");
  assert.equal(second.error.kind, "in-use");
  assert.equal((await otherTab.unfinished.list(new AbortController().signal))[0].isInUse, true);
  gate.resolve();
  await until(isDone(first));
  assert.equal(store.puts.length, 3);
});

test("a pause stops the parts under way; going on sends what is missing and goes on hashing", async () => {
  const { engine, gateway, store, workers } = makeWorld();
  const gate = deferred();
  store.before = (number) => (number > 2 ? gate.promise : Promise.resolve());
  const upload = engine.add(fileOf(6 * PART));
  await until(() => store.atOnce === 3 && gateway.images.get("image-1").parts.size === 2);
  upload.pause();
  await until(() => upload.state === "paused");
  assert.equal(store.atOnce, 0);
  assert.equal(engine.isBusy, false);
  const calls = gateway.calls.length;
  await settle();
  assert.equal(gateway.calls.length, calls);
  assert.equal(upload.sentBytes, 2 * PART);
  store.before = async () => {};
  store.puts = [];
  upload.resume();
  await until(isDone(upload));
  assert.deepEqual(store.numbers(), [3, 4, 5, 6]);
  assert.equal(workers.length, 1);
  assertWhole(gateway, upload);
});

test("a paused file gives its place to the next, and gets one again in its order", async () => {
  const { engine, store } = makeWorld({ parallelFiles: 1 });
  const gate = deferred();
  store.before = () => gate.promise;
  const uploads = [1, 2, 3].map((seed) => engine.add(fileOf(PART, { seed, name: `${seed}.img` })));
  await until(() => uploads[0].state === "uploading");
  uploads[0].pause();
  await until(() => uploads[1].state === "uploading");
  assert.deepEqual(uploads.map(({ state }) => state), ["paused", "uploading", "queued"]);
  uploads[0].resume();
  assert.equal(uploads[0].state, "queued");
  uploads[1].pause();
  await until(() => uploads[0].state === "uploading");
  assert.deepEqual(uploads.map(({ state }) => state), ["uploading", "paused", "queued"]);
  gate.resolve();
  uploads[1].resume();
  await until(() => uploads.every(({ state }) => state === "done"));
});

test("all can be paused and go on together", async () => {
  const { engine, store } = makeWorld();
  const gate = deferred();
  store.before = () => gate.promise;
  const uploads = [1, 2, 3, 4].map((seed) => engine.add(fileOf(2 * PART, { seed, name: `${seed}.img` })));
  await until(() => store.atOnce === 4);
  engine.pauseAll();
  await until(() => uploads.every(({ state }) => state === "paused"));
  assert.equal(store.atOnce, 0);
  gate.resolve();
  engine.resumeAll();
  await until(() => uploads.every(({ state }) => state === "done"));
});

test("a pause in the middle of a wait, and of completing, is a pause", async () => {
  const waiting = makeWorld();
  waiting.store.before = async () => {
    throw new StoreUnreachable();
  };
  const first = waiting.engine.add(fileOf(PART));
  await until(() => first.state === "waiting");
  first.pause();
  await until(() => first.state === "paused");
  assert.equal(first.waitReason, null);

  const completing = makeWorld();
  const gate = deferred();
  completing.gateway.before = (call) => (call.endsWith("/complete") ? gate.promise : Promise.resolve());
  const second = completing.engine.add(fileOf(PART));
  await until(() => second.state === "completing");
  second.pause();
  gate.resolve();
  await until(() => second.state === "paused");
  second.resume();
  await until(isDone(second));
});

test("cancelling stops, deletes what the store has, and forgets the upload", async () => {
  const { engine, gateway, storage, store, workers } = makeWorld();
  store.before = (number) => (number > 2 ? new Promise(() => {}) : Promise.resolve());
  const upload = engine.add(fileOf(6 * PART));
  await until(() => store.atOnce === 3);
  await upload.cancel();
  assert.deepEqual([upload.state, store.atOnce, storage.length], ["cancelled", 0, 0]);
  assert.equal(gateway.images.get("image-1").state, "failed");
  assert.equal(gateway.images.get("image-1").parts.size, 0);
  assert.equal(workers[0].isTerminated, true);
  assert.equal(engine.totals.files, 0);
});

test("cancelling works in every state", async () => {
  const { engine, gateway, store } = makeWorld({ parallelFiles: 1 });
  store.before = () => new Promise(() => {});
  const [active, paused, queued] = [1, 2, 3].map((seed) => engine.add(fileOf(PART, { seed, name: `${seed}.img` })));
  await until(() => active.state === "uploading");
  active.pause();
  await until(() => paused.state === "uploading");
  paused.pause();
  await until(() => queued.state === "uploading");
  active.resume();
  await engine.cancelAll();
  assert.deepEqual(engine.uploads.map(({ state }) => state), ["cancelled", "cancelled", "cancelled"]);
  assert.deepEqual([...gateway.images.values()].map(({ state }) => state), ["failed", "failed", "failed"]);
});

test("cancelling without a network waits, and is done when it returns", async () => {
  const { clock, engine, gateway, store } = makeWorld();
  store.before = () => new Promise(() => {});
  const upload = engine.add(fileOf(PART));
  await until(() => store.atOnce === 1);
  let isReachable = false;
  gateway.before = async () => {
    if (!isReachable) throw refusal(0, "NETWORK");
  };
  const cancelled = upload.cancel();
  await until(() => upload.state === "waiting");
  isReachable = true;
  await clock.advanceUntil(() => upload.state === "cancelled");
  await cancelled;
  assert.equal(gateway.images.get("image-1").state, "failed");
});

test("what is complete when it is cancelled stays, and says so", async () => {
  const { engine, gateway } = makeWorld();
  const gate = deferred();
  gateway.before = (call) => (call.endsWith("/complete") ? gate.promise : Promise.resolve());
  const upload = engine.add(fileOf(PART));
  await until(() => upload.state === "completing");
  gateway.images.get("image-1").state = "complete";
  const cancelled = upload.cancel();
  gate.resolve();
  await cancelled;
  assert.equal(upload.state, "done");
});
