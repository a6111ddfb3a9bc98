import assert from "node:assert/strict";
import test from "node:test";
import { UploadError } from "../../image_gateway/console/upload/engine.js";
import { SLICE } from "../../image_gateway/console/upload/file_hash.js";
import { bytesOf, deferred, FakeWorker, fileOf, makeWorld, PART, refusal, settle, sha256Of, until } from "./upload_world.mjs";

const isDone = (upload) => () => upload.state === "done";

for (const size of [0, 1, PART - 1, PART, PART + 1, 3 * PART, 10 * PART + 1]) {
  test(`a file of ${size} bytes arrives as it is`, async () => {
    const { engine, gateway, store } = makeWorld();
    const file = fileOf(size);
    const upload = engine.add(file);
    await until(isDone(upload));
    const image = gateway.images.get(upload.imageId);
    assert.deepEqual(new Uint8Array(image.bytes), bytesOf(size));
    assert.equal(image.sha256, await sha256Of(file));
    assert.deepEqual(image.declared, { filename: "disk.img", name: "disk.img", sizeBytes: size, format: "raw" });
    assert.equal(store.puts.length, Math.max(1, Math.ceil(size / PART)));
    assert.equal(upload.sentBytes, size);
  });
}

test("the states of an upload, in their order", async () => {
  const { engine } = makeWorld();
  const states = [];
  engine.addEventListener("change", ({ detail }) => states.push(detail.state));
  const upload = engine.add(fileOf(5 * PART));
  await until(isDone(upload));
  const different = states.filter((state, index) => state !== states[index - 1]);
  const shown = different.filter((state) => state !== "hashing");
  assert.deepEqual(shown, ["queued", "preparing", "uploading", "completing", "done"]);
});

test("three parts of a file and two files are under way at once, never more", async () => {
  const { engine, store } = makeWorld();
  const gate = deferred();
  store.before = () => gate.promise;
  const uploads = Array.from({ length: 5 }, (_, index) => engine.add(fileOf(9 * PART, { name: `${index}.img` })));
  await until(() => store.atOnce === 6);
  await settle();
  assert.equal(store.atOnce, 6);
  assert.deepEqual(uploads.map(({ state }) => state), ["uploading", "uploading", "queued", "queued", "queued"]);
  gate.resolve();
  await until(() => uploads.every(({ state }) => state === "done"));
  assert.equal(store.mostAtOnce, 6);
  assert.equal(store.puts.length, 45);
});

test("how many files and parts is for the page to say", async () => {
  const { engine, store } = makeWorld({ parallelFiles: 1, parallelParts: 2 });
  const gate = deferred();
  store.before = () => gate.promise;
  const uploads = [1, 2].map((seed) => engine.add(fileOf(5 * PART, { seed })));
  await until(() => store.atOnce === 2);
  await settle();
  assert.deepEqual([store.atOnce, uploads[1].state], [2, "queued"]);
  gate.resolve();
  await until(() => uploads.every(({ state }) => state === "done"));
  assert.equal(store.mostAtOnce, 2);
});

test("only as many slices of a file are made as are under way", async () => {
  const { engine, store } = makeWorld({ hash: false });
  const file = fileOf(50 * PART);
  let slices = 0;
  const slice = file.slice.bind(file);
  file.slice = (start, end) => {
    if (end - start === PART) slices += 1;
    return slice(start, end);
  };
  const gate = deferred();
  store.before = () => gate.promise;
  const upload = engine.add(file);
  await until(() => store.atOnce === 3);
  await settle();
  assert.equal(slices, 3);
  gate.resolve();
  await until(isDone(upload));
  assert.equal(slices, 50);
});

test("the file is hashed slice by slice, each once, and the worker is ended", async () => {
  const { engine, gateway, workers } = makeWorld();
  gateway.partSize = 8 * SLICE;
  const upload = engine.add(fileOf(2 * SLICE + 5));
  await until(isDone(upload));
  assert.deepEqual(workers[0].slices, [[0, SLICE], [SLICE, 2 * SLICE], [2 * SLICE, 2 * SLICE + 5]]);
  assert.deepEqual([workers.length, workers[0].isTerminated, upload.hashedBytes], [1, true, 2 * SLICE + 5]);
});

test("completing waits for the hash", async () => {
  const gate = deferred();
  class SlowWorker extends FakeWorker {
    async postMessage(message) {
      if (message.end) await gate.promise;
      return super.postMessage(message);
    }
  }
  const { engine, gateway } = makeWorld({ startHashWorker: () => new SlowWorker() });
  const upload = engine.add(fileOf(2 * PART));
  await until(() => upload.state === "hashing");
  await settle();
  assert.equal(gateway.count("POST", "/complete"), 0);
  gate.resolve();
  await until(isDone(upload));
});

test("hashing can be switched off, for all files or for one", async () => {
  for (const [engineOptions, options] of [[{ hash: false }, {}], [{}, { hash: false }]]) {
    const { engine, gateway, workers } = makeWorld(engineOptions);
    await until(isDone(engine.add(fileOf(PART), options)));
    assert.equal(workers.length, 0);
    assert.deepEqual(gateway.calls.at(-1).body, { uploadId: "upload-image-1" });
  }
});

test("a worker that does not start is an error at last, and the parts are kept", async () => {
  const worker = () => {
    const made = { onerror: null, postMessage: () => void setImmediate(() => made.onerror?.()), terminate() {} };
    return made;
  };
  const { clock, engine, gateway, store } = makeWorld({ startHashWorker: worker });
  const gate = deferred();
  store.before = (number) => (number === 3 ? gate.promise : Promise.resolve());
  const upload = engine.add(fileOf(3 * PART));
  await clock.advanceUntil(() => upload.state === "failed");
  assert.equal(upload.error.kind, "worker");
  assert.equal(gateway.images.get(upload.imageId).state, "uploading");
});

test("name and format may be given; then the bytes do not matter", async () => {
  const { engine, gateway } = makeWorld();
  await until(isDone(engine.add(fileOf(10), { name: "My disk", format: "qcow2" })));
  const { declared } = gateway.images.get("image-1");
  assert.deepEqual([declared.name, declared.format], ["My disk", "qcow2"]);
});

test("the format is found by the bytes and declared", async () => {
  const { engine, gateway } = makeWorld();
  const bytes = new Uint8Array(40_000);
  bytes.set(new TextEncoder().encode("CD001"), 0x8001);
  const upload = engine.add(new File([bytes], "system.img"));
  await until(isDone(upload));
  const { format, kind } = gateway.images.get("image-1").declared;
  assert.deepEqual([format, kind, upload.formatLabel], ["iso", "iso", "ISO 9660"]);
});

test("a compressed file is refused while others are uploaded, and takes nobody's turn", async () => {
  const { engine, gateway, store } = makeWorld({ parallelFiles: 1 });
  const gate = deferred();
  store.before = () => gate.promise;
  const good = engine.add(fileOf(PART));
  const packed = engine.add(new File([new Uint8Array([0x1f, 0x8b, 8, 0])], "disk.img.gz"));
  await until(() => packed.state === "failed" && good.state === "uploading");
  assert.equal(packed.error.kind, "format");
  assert.match(packed.error.message, /gunzip disk\.img\.gz/);
  gate.resolve();
  await until(isDone(good));
  assert.equal(gateway.images.size, 1);
});

test("the gateway's message is shown when it refuses", async () => {
  const { engine, gateway } = makeWorld();
  gateway.before = async () => {
    throw refusal(403, "QUOTA_EXCEEDED", "the limit is 5 images");
  };
  const upload = engine.add(fileOf(10));
  await until(() => upload.state === "failed");
  assert.ok(upload.error instanceof UploadError);
  const { kind, message, status, code, requestId } = upload.error;
  assert.deepEqual([kind, message, status], ["refused", "the limit is 5 images", 403]);
  assert.deepEqual([code, requestId], ["QUOTA_EXCEEDED", "r-1"]);
  assert.equal(gateway.calls.length, 1);
});

test("a failed upload can be tried again", async () => {
  const { engine, gateway } = makeWorld();
  gateway.before = async () => {
    throw refusal(403);
  };
  const upload = engine.add(fileOf(10));
  await until(() => upload.state === "failed");
  gateway.before = async () => {};
  upload.resume();
  await until(isDone(upload));
  assert.equal(upload.error, null);
});

test("totals and progress count bytes once, also of parts under way", async () => {
  const { clock, engine, store } = makeWorld({ hash: false, parallelFiles: 2 });
  const gate = deferred();
  store.before = async (number, _, onProgress) => {
    onProgress(number === 1 ? 400 : 0);
    await gate.promise;
  };
  let events = 0;
  engine.addEventListener("progress", () => (events += 1));
  const uploads = [engine.add(fileOf(2 * PART)), engine.add(fileOf(PART, { seed: 2 }))];
  await until(() => store.atOnce === 3);
  assert.equal(uploads[0].sentBytes, 400);
  await clock.advance(2000);
  assert.equal(events, 1);
  assert.deepEqual([uploads[0].rate, uploads[0].secondsLeft], [200, 8]);
  const { files, done, bytes, sentBytes, rate, secondsLeft } = engine.totals;
  assert.deepEqual([files, done, bytes, sentBytes, rate, secondsLeft], [2, 0, 3000, 800, 400, 5.5]);
  gate.resolve();
  await until(() => uploads.every(({ state }) => state === "done"));
  assert.deepEqual([engine.totals.done, engine.totals.sentBytes], [2, 3000]);
});

test("uploads that are over can be taken off the list, others cannot", async () => {
  const { engine, store } = makeWorld();
  const gate = deferred();
  store.before = () => gate.promise;
  const upload = engine.add(fileOf(10));
  engine.remove(upload);
  assert.deepEqual(engine.uploads, [upload]);
  assert.equal(engine.isBusy, true);
  gate.resolve();
  await until(isDone(upload));
  engine.remove(upload);
  assert.deepEqual([engine.uploads, engine.isBusy, engine.totals.files], [[], false, 0]);
});
