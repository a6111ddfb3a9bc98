// What a disk does when the network or the gateway fails, its lease ends, or its image changes.
import assert from "node:assert/strict";
import test from "node:test";

import { partRequests, rangeRequests } from "../../image_gateway/console/open/block_requests.js";
import { LeaseEnded } from "../../image_gateway/console/open/lease.js";
import { LeasedDisk } from "../../image_gateway/console/open/leased_disk.js";
import { MemoryOverlay } from "../../image_gateway/console/open/overlay.js";
import {
  BLOCK,
  ETAG,
  FakeClock,
  FakeGateway,
  FakeLease,
  imageOf,
  leaseDocument,
  read,
  refusal,
  until,
} from "./open_fakes.mjs";

const SIZE = 8 * BLOCK;
const IMAGE = imageOf(SIZE);

function world({ parts = false, ...options } = {}) {
  const gateway = new FakeGateway(IMAGE);
  const clock = new FakeClock();
  const lease = new FakeLease();
  const waiting = [];
  const stopped = [];
  const slow = [];
  const disk = new LeasedDisk({
    size: SIZE,
    sectorSize: 512,
    requests: parts ? partRequests(BLOCK) : rangeRequests(SIZE),
    lease,
    etag: ETAG,
    overlay: new MemoryOverlay(),
    listener: {
      onWaiting: (reason) => waiting.push(reason),
      onSlow: (isSlow) => slow.push(isSlow),
      onStopped: (error) => stopped.push(error),
    },
    fetch: gateway.fetch,
    clock,
    random: () => 1,
    ...options,
  });
  return { gateway, clock, lease, disk, waiting, slow, stopped };
}

const lost = () => {
  throw new TypeError("Failed to fetch");
};
const partial = (body, range, etag = ETAG) =>
  new Response(body, {
    status: 206,
    headers: { ETag: etag, "Content-Range": `${range.replace("=", " ")}/${SIZE}` },
  });
// Requests of parts have no range; their answers have no use for its header.
const cut = ({ range }) => (range === null ? new Response(IMAGE.slice(0, 100)) : partial(IMAGE.slice(0, 100), range));
const broken = ({ range }) => {
  const body = new ReadableStream({ pull: (controller) => controller.error(new Error("reset")) });
  return range === null ? new Response(body) : partial(body, range);
};
const whole = () => new Response("<html>Please sign in to this network</html>", { status: 200 });

for (const [name, fault] of [
  ["a lost network", lost],
  ["an error of the gateway", () => refusal(500, "INTERNAL")],
  ["an error of the store", () => refusal(502, "S3_ERROR")],
  ["a gateway that is shutting down", () => refusal(503, "SHUTTING_DOWN")],
  ["an error page of a proxy", () => new Response("<html>", { status: 504 })],
  ["too many requests", () => refusal(429, "TOO_MANY_REQUESTS")],
  ["a body that is cut", cut],
  ["a connection that breaks", broken],
  ["the page of another server", whole],
]) {
  for (const parts of [false, true]) {
    test(`after ${name} the guest goes on with the right bytes${parts ? ", by parts" : ""}`, async () => {
      const { gateway, clock, disk, waiting } = world({ parts });
      gateway.faults = [fault, fault];
      const reading = read(disk, 512, 512);
      await until(() => waiting.length === 1);
      clock.advance(500);
      await until(() => waiting.length === 2);
      clock.advance(1000);
      assert.deepEqual(await reading, IMAGE.slice(512, 1024));
      assert.equal(waiting.at(-1), null);
      assert.ok(waiting[0].length > 0);
    });
  }
}

test("it is tried again for as long as it takes, at least every 15 seconds", async () => {
  const { gateway, clock, disk, waiting } = world();
  gateway.faults = Array(200).fill(lost);
  const reading = read(disk, 0, 512);
  for (let attempt = 1; attempt <= 200; attempt += 1) {
    await until(() => waiting.length === attempt);
    clock.advance(15_000);
  }
  assert.deepEqual(await reading, IMAGE.slice(0, 512));
});

test("Retry-After is respected", async () => {
  const { gateway, clock, disk, waiting } = world();
  gateway.faults = [() => refusal(429, "TOO_MANY_REQUESTS", { "Retry-After": "7" })];
  const reading = read(disk, 0, 512);
  await until(() => waiting.length === 1);
  clock.advance(6999);
  assert.equal(gateway.requests.length, 1);
  clock.advance(1);
  assert.deepEqual(await reading, IMAGE.slice(0, 512));
});

test("when the network is back, the next attempt comes at once", async () => {
  const { gateway, disk, waiting } = world();
  gateway.faults = [lost];
  const reading = read(disk, 0, 512);
  await until(() => waiting.length === 1);
  disk.wake();
  assert.deepEqual(await reading, IMAGE.slice(0, 512));
});

test("after the network is back the waits are short again, should the first attempt come too early", async () => {
  const { gateway, clock, disk, waiting } = world();
  gateway.faults = Array(9).fill(lost);
  const reading = read(disk, 0, 512);
  for (let attempt = 1; attempt <= 8; attempt += 1) {
    await until(() => waiting.length === attempt);
    if (attempt < 8) clock.advance(15_000);
  }
  disk.wake();
  await until(() => waiting.length === 9);
  clock.advance(500);
  assert.deepEqual(await reading, IMAGE.slice(0, 512));
});

test("an answer that stalls is given up after 20 seconds without a byte", async () => {
  const { gateway, clock, disk, waiting } = world();
  gateway.gate = new Promise(() => {});
  const reading = read(disk, 0, 512);
  await until(() => gateway.running === 1);
  clock.advance(19_999);
  assert.equal(gateway.running, 1);
  clock.advance(1);
  await until(() => waiting.length === 1);
  gateway.gate = null;
  disk.wake();
  assert.deepEqual(await reading, IMAGE.slice(0, 512));
});

test("an answer that comes slowly is not given up", async () => {
  const { gateway, clock, disk, waiting } = world();
  let controller;
  const body = new ReadableStream({ start: (made) => (controller = made) });
  gateway.faults = [({ range }) => partial(body, range)];
  const reading = read(disk, 0, 512);
  await until(() => gateway.requests.length === 1 && gateway.running === 0);
  const { signal } = gateway.requests[0].init;
  for (let at = 0; at < BLOCK; at += BLOCK / 4) {
    controller.enqueue(IMAGE.slice(at, at + BLOCK / 4));
    // The body's reader has taken the bytes when it asks for more.
    await until(() => controller.desiredSize === 1);
    clock.advance(15_000);
    assert.equal(signal.aborted, false);
  }
  controller.close();
  assert.deepEqual(await reading, IMAGE.slice(0, 512));
  assert.deepEqual(waiting, []);
});

test("a guest that waits for more than four seconds is to be paused until it has got its bytes", async () => {
  const { gateway, clock, disk, slow } = world();
  let open;
  gateway.gate = new Promise((resolve) => (open = resolve));
  let slowWhenDone;
  disk.get(0, 512, () => (slowWhenDone = [...slow]));
  await until(() => gateway.running === 1);
  clock.advance(3999);
  assert.deepEqual(slow, []);
  clock.advance(1);
  assert.deepEqual(slow, [true]);
  open();
  await until(() => slow.length === 2);
  assert.deepEqual([slow, slowWhenDone], [[true, false], [true]]);
});

test("a guest that has cancelled its read is not paused for it", async () => {
  const { gateway, clock, disk, slow } = world();
  gateway.gate = new Promise(() => {});
  const cancelled = new AbortController();
  disk.get(0, 512, () => assert.fail("nobody waits for it"), { signal: cancelled.signal });
  cancelled.abort();
  clock.advance(5000);
  assert.deepEqual(slow, []);
  disk.close();
});

test("waiting ends when the last read that waits has got its bytes", async () => {
  const { gateway, disk, waiting } = world({ parts: true });
  gateway.faults = [lost, lost];
  const both = [read(disk, 0, 512), read(disk, 3 * BLOCK, 512)];
  await until(() => waiting.length === 2);
  disk.wake();
  await Promise.all(both);
  assert.deepEqual(waiting.map((reason) => reason === null), [false, false, true]);
});

for (const [name, refuse] of [
  ["an expired lease", () => refusal(401, "LEASE_EXPIRED")],
  ["a lease that waits for its renewal", () => refusal(503, "LEASE_LAPSED", { "Retry-After": "2" })],
]) {
  test(`${name} is renewed, and the read goes on at once`, async () => {
    const { gateway, lease, disk } = world();
    const before = lease.current;
    lease.next = [leaseDocument("first")];
    gateway.faults = [refuse];
    assert.deepEqual(await read(disk, 0, 512), IMAGE.slice(0, 512));
    assert.deepEqual(lease.refreshed, [before]);
  });
}

test("a new lease is read with by its own URL", async () => {
  const { gateway, lease, disk } = world();
  gateway.tokens = new Set(["second"]);
  lease.next = [leaseDocument("second")];
  assert.deepEqual(await read(disk, 0, 512), IMAGE.slice(0, 512));
  assert.deepEqual(gateway.requests.map(({ url }) => url), [leaseDocument("first").url, leaseDocument("second").url]);
});

test("a lease that does not work although it was renewed is not tried in a hot loop", async () => {
  const { gateway, clock, lease, disk, waiting } = world();
  gateway.tokens = new Set();
  const reading = read(disk, 0, 512);
  await until(() => gateway.requests.length === 2 && waiting.length === 2);
  gateway.tokens = new Set(["first"]);
  clock.advance(999);
  assert.equal(gateway.requests.length, 2);
  clock.advance(1);
  assert.deepEqual(await reading, IMAGE.slice(0, 512));
  assert.equal(lease.refreshed.length, 2);
});

for (const [status, code, words] of [
  [403, "LEASE_REVOKED", /revoked/],
  [403, "FORBIDDEN", /cannot read/],
  [404, "NOT_FOUND", /no longer there/],
  [412, "PRECONDITION_FAILED", /another version/],
  [409, "INVALID_STATE", /INVALID_STATE.*server: INVALID_STATE/],
]) {
  for (const parts of [false, true]) {
    test(`${code} stops the disk, and says why${parts ? ", by parts" : ""}`, async () => {
      const { gateway, disk, stopped } = world({ parts });
      const headers = { "X-Error-Code": code, "X-Request-Id": "request-1" };
      gateway.faults = [parts ? () => new Response(null, { status, headers }) : () => refusal(status, code)];
      let isDone = false;
      disk.get(0, 512, () => (isDone = true));
      await until(() => stopped.length === 1);
      const [error] = stopped;
      assert.deepEqual([error.name, error.code, error.requestId], ["DiskStopped", code, "request-1"]);
      assert.match(error.message, parts && code === "INVALID_STATE" ? /INVALID_STATE/ : words);
      disk.get(3 * BLOCK, 512, () => (isDone = true));
      await until(() => gateway.running === 0);
      assert.deepEqual([isDone, gateway.requests.length, stopped.length], [false, 1, 1]);
    });
  }
}

test("a lease that has ended for good stops the disk", async () => {
  const { gateway, lease, disk, stopped } = world();
  lease.error = new LeaseEnded("The access by this link has ended.", "LEASE_EXPIRED", null);
  gateway.faults = [() => refusal(401, "LEASE_EXPIRED")];
  disk.get(0, 512, () => assert.fail("there are no bytes"));
  await until(() => stopped.length === 1);
  assert.equal(stopped[0], lease.error);
});

test("each byte range is asked for by the image's ETag; another version stops the disk", async () => {
  const { gateway, disk, stopped } = world();
  await read(disk, 0, 512);
  assert.equal(gateway.requests[0].init.headers["If-Match"], ETAG);
  gateway.etag = '"version-2"';
  disk.get(BLOCK, 512, () => assert.fail("these are bytes of another version"));
  await until(() => stopped.length === 1);
  assert.match(stopped[0].message, /another version/);
});

test("an answer with another ETag stops the disk, also if If-Match got lost on the way", async () => {
  const { gateway, disk, stopped } = world();
  gateway.faults = [({ range }) => partial(IMAGE.slice(0, BLOCK), range, '"version-2"')];
  disk.get(0, 512, () => assert.fail("these are bytes of another version"));
  await until(() => stopped.length === 1);
  assert.match(stopped[0].message, /another version/);
});

test("parts are compared with the image's ETag under a new lease", async () => {
  const { gateway, lease, disk } = world({ parts: true });
  await read(disk, 0, 512);
  gateway.tokens = new Set(["second"]);
  lease.next = [leaseDocument("second")];
  assert.deepEqual(await read(disk, BLOCK, 512), IMAGE.slice(BLOCK, BLOCK + 512));
  await read(disk, 2 * BLOCK, 512);
  const checks = gateway.requests.filter(({ range }) => range === "bytes=0-0");
  const asked = checks.map(({ url, init }) => [url, init.headers["If-Match"]]);
  assert.deepEqual(asked, [[leaseDocument("second").url, ETAG]]);
});

for (const [when, fault, token] of [
  ["under a new lease", () => refusal(401, "LEASE_EXPIRED"), "second"],
  ["when the gateway cannot read the object", () => new Response(null, { status: 502 }), "first"],
]) {
  test(`parts of another version stop the disk ${when}`, async () => {
    const { gateway, clock, lease, disk, waiting, stopped } = world({ parts: true });
    gateway.etag = '"version-2"';
    gateway.tokens = new Set([token]);
    gateway.faults = [fault];
    lease.next = [leaseDocument(token)];
    disk.get(0, 512, () => assert.fail("these are bytes of another version"));
    await until(() => waiting.length >= 1);
    clock.advance(500);
    await until(() => stopped.length === 1);
    assert.match(stopped[0].message, /another version/);
  });
}

test("a disk that is closed while it waits tries no more", async () => {
  const { gateway, clock, disk, waiting, stopped } = world();
  gateway.faults = [lost];
  disk.get(0, 512, () => assert.fail("the disk is closed"));
  await until(() => waiting.length === 1);
  disk.close();
  await until(() => waiting.length === 2);
  clock.advance(60_000);
  assert.deepEqual([gateway.requests.length, stopped.length, clock.timers.size], [1, 0, 0]);
});
