import assert from "node:assert/strict";
import test from "node:test";
import { Retryable } from "../../image_gateway/console/upload/errors.js";
import { PartRefused, StoreUnreachable } from "../../image_gateway/console/upload/part_sender.js";
import { bytesOf, deferred, fileOf, makeWorld, PART, refusal, settle, until } from "./upload_world.mjs";

const isDone = (upload) => () => upload.state === "done";

function assertWhole(gateway, upload) {
  assert.deepEqual(new Uint8Array(gateway.images.get(upload.imageId).bytes), bytesOf(upload.size));
}

test("a part that fails is sent again, however often, and no other one is", async () => {
  const { clock, engine, gateway, store } = makeWorld();
  store.before = async (number, attempt) => {
    if (number === 2 && attempt <= 100) throw new StoreUnreachable();
  };
  const upload = engine.add(fileOf(4 * PART));
  await clock.advanceUntil(isDone(upload));
  assert.deepEqual(store.numbers(), [1, ...Array(101).fill(2), 3, 4]);
  assertWhole(gateway, upload);
});

test("a part that stalls gets twice the time, up to eight times; other failures give it no more", async () => {
  const stalls = [];
  const failures = [true, true, false, true, true, true];
  const { clock, engine, gateway, store } = makeWorld({
    sendPart: async (part) => {
      stalls.push(part.stallMilliseconds / 1000);
      if (failures.length > 0) throw new StoreUnreachable(failures.shift());
      return store.sendPart(part);
    },
  });
  const upload = engine.add(fileOf(PART));
  await clock.advanceUntil(isDone(upload));
  assert.deepEqual(stalls, [60, 120, 240, 240, 480, 480, 480]);
  assertWhole(gateway, upload);
});

test("a busy store is left alone for as long as it says, with the same URL", async () => {
  const { clock, engine, store } = makeWorld();
  store.before = async (number, attempt) => {
    if (attempt === 1) throw new Retryable("busy", 9);
  };
  const upload = engine.add(fileOf(PART));
  await until(() => upload.state === "waiting");
  assert.equal(upload.waitReason, "busy");
  await clock.advance(9499);
  assert.equal(store.puts.length, 1);
  await clock.advance(1);
  await until(isDone(upload));
  assert.equal(store.puts[0].url, store.puts[1].url);
});

test("after a failure that may be an expired URL, a new one is fetched", async () => {
  const { clock, engine, gateway, store } = makeWorld();
  store.before = async (number, attempt) => {
    if (attempt === 1) clock.time += gateway.urlMilliseconds;
  };
  const upload = engine.add(fileOf(PART));
  await clock.advanceUntil(isDone(upload));
  assert.equal(store.puts.length, 2);
  assert.notEqual(store.puts[0].url, store.puts[1].url);
  assert.equal(gateway.count("POST", "/upload-urls"), 2);
});

test("URLs that get old while others are sent are renewed before they are used", async () => {
  const { clock, engine, gateway, store } = makeWorld({ parallelParts: 1 });
  store.before = async () => void (clock.time += 190_000);
  const upload = engine.add(fileOf(6 * PART));
  await until(isDone(upload));
  assert.equal(store.puts.length, 6);
  assert.equal(gateway.count("POST", "/upload-urls"), 2);
});

test("a store that refuses fresh URLs again and again is an error", async () => {
  const { clock, engine, gateway, store } = makeWorld();
  store.before = async () => {
    throw new PartRefused(403, "AccessDenied");
  };
  const upload = engine.add(fileOf(PART));
  await clock.advanceUntil(() => upload.state === "failed");
  assert.deepEqual([upload.error.kind, upload.error.code], ["store", "AccessDenied"]);
  assert.equal(store.puts.length, 4);
  assert.equal(new Set(store.puts.map(({ url }) => url)).size, 4);
  assert.equal(gateway.images.get(upload.imageId).state, "uploading");
});

test("an upload that was aborted meanwhile fails with the gateway's words; trying again is a new one", async () => {
  const { clock, engine, gateway, store } = makeWorld();
  store.before = async (number, attempt) => {
    if (gateway.images.size > 1) return;
    gateway.images.get("image-1").state = "failed";
    throw new PartRefused(404, "NoSuchUpload");
  };
  const upload = engine.add(fileOf(PART));
  await clock.advanceUntil(() => upload.state === "failed");
  assert.match(upload.error.message, /the upload is not open/);
  upload.resume();
  await until(isDone(upload));
  assert.equal(upload.imageId, "image-2");
});

test("a refusal of an old URL is not held against the part", async () => {
  const { clock, engine, gateway, store } = makeWorld();
  store.before = async (number, attempt) => {
    if (attempt <= 3) throw new PartRefused(403, "AccessDenied");
  };
  const upload = engine.add(fileOf(3 * PART));
  await clock.advanceUntil(isDone(upload));
  assertWhole(gateway, upload);
});

test("without a network the upload waits, and goes on when it returns", async () => {
  const { clock, engine, gateway, network, store } = makeWorld();
  store.before = async () => {
    if (!network.isOnline) throw new StoreUnreachable();
  };
  network.isOnline = false;
  const upload = engine.add(fileOf(3 * PART));
  await until(() => upload.state === "waiting");
  assert.equal(upload.waitReason, "offline");
  await clock.advance(3_600_000);
  assert.equal(upload.state, "waiting");
  const sent = store.puts.length;
  network.goOnline();
  await until(isDone(upload));
  assert.equal(store.puts.length, sent + 3);
  assertWhole(gateway, upload);
});

test("a gateway that does not answer is asked until it does, in every step", async () => {
  for (const step of ["POST /v1/images", "POST /v1/images/image-1/upload-urls", "POST /v1/images/image-1/complete"]) {
    for (const status of [0, 500, 502, 503, 429]) {
      const { clock, engine, gateway } = makeWorld({ hash: false });
      let failures = 0;
      gateway.before = async (call) => {
        if (call === step && (failures += 1) <= 20) throw refusal(status, "CODE", "later", status === 429 ? 5 : null);
      };
      const upload = engine.add(fileOf(2 * PART));
      await until(() => upload.state === "waiting");
      assert.equal(upload.waitReason, status === 0 ? "gateway" : "busy");
      await clock.advanceUntil(isDone(upload));
      assert.equal(failures, 21);
      assertWhole(gateway, upload);
    }
  }
});

test("an answer that never comes is given up after two minutes, and asked for again", async () => {
  const { clock, engine, gateway } = makeWorld();
  let calls = 0;
  gateway.before = (call, body, signal) => {
    calls += 1;
    if (calls > 1) return Promise.resolve();
    return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  };
  const upload = engine.add(fileOf(PART));
  await until(() => calls === 1);
  await clock.advance(119_999);
  assert.equal(upload.state, "preparing");
  await clock.advance(1);
  assert.deepEqual([upload.state, upload.waitReason], ["waiting", "gateway"]);
  await clock.advanceUntil(isDone(upload));
  assert.equal(gateway.images.size, 1);
});

test("completing again after a lost answer is harmless", async () => {
  const { clock, engine, gateway } = makeWorld();
  const complete = gateway["POST complete"].bind(gateway);
  let lost = 0;
  gateway["POST complete"] = (image, body) => {
    complete(image, body);
    lost += 1;
    if (lost <= 2) throw refusal(0, "NETWORK");
    return complete(image, body);
  };
  const upload = engine.add(fileOf(2 * PART));
  await clock.advanceUntil(isDone(upload));
  assert.equal(lost, 3);
});

test("after the session has ended the parts under way are finished, and all goes on after the sign-in", async () => {
  const { engine, gateway, network, store, clock } = makeWorld({ urlsPerCall: 3 });
  const gate = deferred();
  let isSignedIn = true;
  gateway.before = async (call) => {
    if (!isSignedIn) throw refusal(401, "UNAUTHENTICATED");
  };
  store.before = (number) => (number === 3 ? gate.promise : Promise.resolve());
  let events = 0;
  engine.addEventListener("signed-out", () => (events += 1));
  const upload = engine.add(fileOf(9 * PART));
  await until(() => store.atOnce === 1);
  isSignedIn = false;
  const image = gateway.images.get(upload.imageId);
  gate.resolve();
  await until(() => upload.state === "signed-out");
  assert.ok(image.parts.has(3));
  await clock.advance(3_600_000);
  network.goOnline();
  await settle();
  assert.deepEqual([upload.state, engine.isSignedOut, events], ["signed-out", true, 1]);
  isSignedIn = true;
  engine.signedIn();
  await until(isDone(upload));
  assert.deepEqual(store.numbers(), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assertWhole(gateway, upload);
});

test("all files wait for one sign-in", async () => {
  const { engine, gateway } = makeWorld();
  let isSignedIn = false;
  gateway.before = async () => {
    if (!isSignedIn) throw refusal(401);
  };
  const uploads = [1, 2, 3].map((seed) => engine.add(fileOf(PART, { seed, name: `${seed}.img` })));
  await until(() => uploads[0].state === "signed-out" && uploads[1].state === "signed-out");
  assert.equal(uploads[2].state, "queued");
  isSignedIn = true;
  engine.signedIn();
  await until(() => uploads.every(({ state }) => state === "done"));
});

test("a file that is changed while it is uploaded is an error that says so", async () => {
  const { engine, gateway } = makeWorld({ hash: false });
  const file = fileOf(3 * PART);
  const upload = engine.add(file);
  await until(() => upload.state === "uploading");
  file.slice = () => ({ slice: file.slice, arrayBuffer: () => Promise.reject(new DOMException("", "NotReadableError")) });
  await until(() => upload.state === "failed");
  assert.equal(upload.error.kind, "file-changed");
  assert.equal(gateway.count("POST", "/complete"), 0);
});

test("a file that has another date at the end is not completed", async () => {
  const { engine, gateway } = makeWorld();
  const file = fileOf(PART);
  const upload = engine.add(file);
  await until(() => upload.state === "uploading");
  Object.defineProperty(file, "lastModified", { value: file.lastModified + 1 });
  await until(() => upload.state === "failed");
  assert.equal(upload.error.kind, "file-changed");
  assert.equal(gateway.count("POST", "/complete"), 0);
});

test("parts that the store has lost are sent again, and nothing else", async () => {
  const { engine, gateway, store } = makeWorld();
  let losses = 0;
  gateway.before = async (call) => {
    if (call.endsWith("/complete") && (losses += 1) === 1) gateway.images.get("image-1").parts.delete(2);
  };
  const upload = engine.add(fileOf(3 * PART));
  await until(isDone(upload));
  assert.deepEqual(store.numbers(), [1, 2, 2, 3]);
  assertWhole(gateway, upload);
});

test("a store that loses parts without end is an error", async () => {
  const { engine, gateway } = makeWorld();
  gateway.before = async (call) => {
    if (call.endsWith("/complete")) gateway.images.get("image-1").parts.delete(2);
  };
  const upload = engine.add(fileOf(3 * PART));
  await until(() => upload.state === "failed");
  assert.equal(upload.error.kind, "store");
  assert.equal(gateway.count("POST", "/complete"), 3);
});

test("the gateway's message is shown when it does not take what was uploaded", async () => {
  const { engine, gateway } = makeWorld();
  gateway["POST complete"] = () => {
    throw refusal(409, "INVALID_STATE", "uploaded twice with different bytes in one second: part 1; upload again");
  };
  const upload = engine.add(fileOf(PART));
  await until(() => upload.state === "failed");
  assert.match(upload.error.message, /uploaded twice/);
});

test("bytes that arrive as others are an error of the gateway; trying again is a new upload", async () => {
  const { engine, gateway, storage } = makeWorld();
  gateway.before = async (call) => {
    if (call.endsWith("/image-1/complete")) gateway.images.get("image-1").parts.get(1).bytes[0] ^= 1;
  };
  const upload = engine.add(fileOf(2 * PART));
  await until(() => upload.state === "failed");
  assert.match(upload.error.message, /what was uploaded is another/);
  assert.deepEqual([upload.imageId, storage.length], [null, 0]);
  upload.resume();
  await until(isDone(upload));
  assert.equal(upload.imageId, "image-2");
  assertWhole(gateway, upload);
});
