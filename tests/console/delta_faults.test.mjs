// What a writer does when answers are lost, the gateway fails, the network is away, another one has taken over, or the page closes.
import assert from "node:assert/strict";
import test from "node:test";

import { lost, lostAnswer, put, world } from "./delta_fakes.mjs";
import { BLOCK, read, refusal, until } from "./open_fakes.mjs";

/** Let time pass until something is true. */
const passing = (clock, condition) => until(() => condition() || clock.advance(10));
const commitsOf = (delta) => delta.requests.filter(({ url }) => url.endsWith("/commits")).map(({ init }) => init);
const keysOf = (delta) => commitsOf(delta).map(({ headers }) => headers["Idempotency-Key"]);

for (const [name, fault] of [
  ["a lost request", lost],
  ["a lost answer", lostAnswer],
  ["an error of the gateway", () => refusal(500, "INTERNAL")],
  ["an error after the commit was stored", (apply) => (apply(), refusal(502, "S3_ERROR"))],
  ["a gateway that is shutting down", () => refusal(503, "SHUTTING_DOWN")],
  ["an error page of a proxy", () => new Response("<html>", { status: 504 })],
  ["too many requests", () => refusal(429, "TOO_MANY_REQUESTS")],
  ["a quota that is used up", () => refusal(403, "QUOTA_EXCEEDED")],
  ["the page of another server", () => new Response("<html>Please sign in to this network</html>")],
  ["an answer that is cut", () => new Response('{"generation":', { headers: { "Content-Type": "application/json" } })],
]) {
  test(`after ${name} the same commit is sent again, and applied once`, async () => {
    const { delta, disk, clock, log } = world();
    delta.faults = [fault, fault];
    await put(disk, 0, 1, 4096);
    const flushed = disk.flush();
    await until(() => delta.requests.length === 1 && disk.status.problem !== null);
    assert.equal(disk.status.state, "unsaved");
    await put(disk, 4096, 2, 4096);
    await passing(clock, () => delta.requests.length >= 3);
    await flushed;
    await disk.flush();
    const [first, second, third] = commitsOf(delta);
    assert.equal(new Set(keysOf(delta).slice(0, 3)).size, 1);
    assert.deepEqual(second.body, first.body);
    assert.deepEqual(third.body, first.body);
    assert.equal(delta.commits.length, 2);
    assert.equal(disk.status.generation, delta.generation);
    assert.equal(disk.status.problem, null);
    assert.deepEqual(log.stopped, []);
  });
}

test("while the network is away nothing is given up, and it is told since when", async () => {
  const { delta, disk, clock } = world();
  delta.faults = Array(100).fill(lost);
  await put(disk, 0, 1, 4096);
  const since = clock.now();
  const flushed = disk.flush();
  for (let attempt = 1; attempt <= 100; attempt += 1) {
    await until(() => delta.faults.length === 100 - attempt && clock.timers.size > 0);
    await until(() => disk.status.problem !== null);
    clock.advance(15_000);
  }
  await flushed;
  assert.equal(delta.commits.length, 1);
  assert.ok(clock.now() - since >= 100 * 7000);
  assert.equal(disk.status.unsavedSince, null);
});

test("Retry-After is respected, and a network that is back ends the wait", async () => {
  const { delta, disk, clock } = world();
  delta.faults = [() => refusal(503, "OVERLOADED", { "Retry-After": "7" }), lost];
  await put(disk, 0, 1, 4096);
  const flushed = disk.flush();
  await until(() => disk.status.problem !== null);
  clock.advance(6999);
  assert.equal(delta.requests.length, 1);
  clock.advance(1);
  await until(() => delta.requests.length === 2 && disk.status.problem === "The gateway cannot be reached.");
  disk.wake();
  await flushed;
  assert.equal(delta.requests.length, 3);
});

test("an expired lease is renewed, and the commit goes on", async () => {
  const { delta, disk, lease } = world();
  delta.expired.add("session-1");
  lease.next = [{ ...delta.document(2), token: "session-2" }];
  delta.epoch = 2;
  await put(disk, 0, 1, 4096);
  await disk.flush();
  assert.equal(lease.refreshed.length, 1);
  assert.equal(delta.commits.length, 1);
});

for (const [name, fence] of [
  ["another session", (delta) => (delta.epoch += 1)],
  ["another generation", (delta) => (delta.generation += 1)],
]) {
  test(`${name} stops the disk for good, and nothing more is written`, async () => {
    const { delta, disk, clock, log } = world();
    await put(disk, 0, 1, 4096);
    await disk.flush();
    fence(delta);
    const before = delta.disk.slice();
    await put(disk, 4096, 2, 4096);
    await assert.rejects(disk.flush(), { code: "FENCED" });
    assert.equal(log.stopped.length, 1);
    assert.match(log.stopped[0].message, /opened somewhere else/);
    assert.equal(disk.status.state, "stopped");
    assert.equal(disk.status.unsavedBytes, 4096);
    const { length } = delta.requests;
    let isDone = false;
    disk.set(8192, new Uint8Array(4096).fill(3), () => (isDone = true));
    disk.saveNow();
    disk.wake();
    await assert.rejects(disk.flush(), { code: "FENCED" });
    clock.advance(60_000);
    assert.equal(isDone, false);
    assert.equal(delta.requests.length, length);
    assert.deepEqual(delta.disk, before);
  });
}

test("a fence between two commits of one flush: the first is stored, the second is not", async () => {
  const { delta, disk } = world({ size: 20 * 1024 * 1024 });
  delta.faults = [
    (apply) => {
      const answer = apply();
      delta.epoch += 1;
      return answer;
    },
  ];
  await put(disk, 0, 1, 12 * 1024 * 1024);
  await assert.rejects(disk.flush(), { code: "FENCED" });
  assert.equal(delta.commits.length, 1);
  assert.equal(delta.disk[0], 1);
  assert.notEqual(delta.disk[12 * 1024 * 1024 - 1], 1);
});

test("a commit that was applied before the fence and whose answer was lost is known as saved", async () => {
  const { delta, disk, clock } = world();
  delta.faults = [
    (apply) => {
      apply();
      delta.epoch += 1;
      return lost();
    },
  ];
  await put(disk, 0, 1, 4096);
  const flushed = disk.flush();
  await until(() => disk.status.problem !== null);
  clock.advance(500);
  await flushed;
  assert.equal(disk.status.state, "saved");
});

test("a read that shows a generation of somebody else stops the disk", async () => {
  const { delta, disk, log } = world();
  delta.generation += 1;
  disk.get(0, 512, () => assert.fail("the guest must not get it"));
  await until(() => log.stopped.length === 1);
  assert.equal(log.stopped[0].code, "FENCED");
});

test("a read may show the generation of a commit whose answer is still to come", async () => {
  const { delta, disk, log } = world();
  let answer;
  delta.faults = [
    (apply) => {
      const response = apply();
      return new Promise((resolve) => (answer = () => resolve(response)));
    },
  ];
  await put(disk, 0, 1, 4096);
  const flushed = disk.flush();
  await until(() => delta.generation === 6);
  assert.deepEqual(await read(disk, BLOCK, 512), delta.disk.slice(BLOCK, BLOCK + 512));
  answer();
  await flushed;
  assert.deepEqual(log.stopped, []);
});

for (const [status, code] of [
  [400, "BAD_REQUEST"],
  [403, "LEASE_REVOKED"],
  [404, "NOT_FOUND"],
  [409, "IDEMPOTENCY_KEY_REUSED"],
  [413, "TOO_LARGE"],
]) {
  test(`${code} stops the disk and is told`, async () => {
    const { delta, disk, log } = world();
    delta.faults = [() => refusal(status, code)];
    await put(disk, 0, 1, 4096);
    await assert.rejects(disk.flush(), { code });
    assert.equal(log.stopped.length, 1);
    assert.equal(log.stopped[0].requestId, "request-1");
  });
}

test("a page that is left sends what fits into 60 KiB, with keepalive, and keeps its lease for that", async () => {
  const { delta, disk, lease } = world();
  await put(disk, 0, 1, 12 * 4096);
  disk.leave();
  assert.equal(commitsOf(delta).length, 1);
  assert.equal(commitsOf(delta)[0].keepalive, true);
  await until(() => delta.commits.length === 1);
  assert.deepEqual(lease.released, []);
});

test("a page that is left with nothing unsaved ends its session", async () => {
  const { delta, disk, lease } = world();
  await put(disk, 0, 1, 4096);
  await disk.flush();
  disk.leave();
  assert.deepEqual(lease.released, [{ isLeaving: true }]);
  assert.equal(commitsOf(delta).length, 1);
});

test("a page that is left cannot send what is larger, or needs a read", async () => {
  for (const [offset, length] of [[0, 20 * 4096], [512, 512]]) {
    const { delta, disk } = world();
    await put(disk, offset, 1, length);
    disk.leave();
    assert.equal(delta.requests.length, 0);
  }
});

test("a page that is left while a commit waits for the network sends it once more", async () => {
  const { delta, disk } = world();
  delta.faults = [lostAnswer];
  await put(disk, 0, 1, 4096);
  void disk.flush();
  await until(() => disk.status.problem !== null);
  disk.leave();
  assert.equal(new Set(keysOf(delta)).size, 1);
  assert.equal(commitsOf(delta).length, 2);
  assert.equal(delta.commits.length, 1);
});

test("closing commits what is left and ends the session", async () => {
  const { delta, disk, lease, log } = world();
  await put(disk, 0, 1, 4096);
  await disk.close();
  assert.equal(delta.commits.length, 1);
  assert.equal(lease.released.length, 1);
  assert.deepEqual(log.stopped, []);
});
