// A page becomes the writer of a delta, stays it over lost leases, and never takes it back from another page.
import assert from "node:assert/strict";
import test from "node:test";

import { openDelta } from "../../image_gateway/console/deltas/open_delta.js";
import { FakeDelta, put } from "./delta_fakes.mjs";
import { FakeClock, read, refusal, until } from "./open_fakes.mjs";

const HOUR = 3_600_000;
const ORIGIN = "https://gateway.example.com";

/** The gateway with its routes of sessions and leases, in place of the browser's `fetch`. */
async function world(context) {
  const delta = new FakeDelta(1024 * 1024);
  const clock = new FakeClock();
  const calls = [];
  const faults = [];
  const stopped = [];
  delta.epoch = 0;
  const session = () => {
    const times = { expiresAt: new Date(clock.now() + HOUR), sessionEndsAt: new Date(clock.now() + 12 * HOUR) };
    const headers = { Date: new Date(clock.now()).toUTCString() };
    return Response.json({ ...delta.document(), ...times }, { headers });
  };
  const gateway = async (url, init = {}) => {
    const path = url.replace(`${ORIGIN}/v1`, "");
    if (/commits$|disk.img$/.test(path)) return delta.fetch(url, init);
    calls.push(`${init.method} ${path} ${new Headers(init.headers).get("Authorization")}`);
    const answer = () => {
      const [, token] = /^\/leases\/lease-(.+)\/renew$/.exec(path) ?? [];
      if (delta.expired.has(token)) return refusal(401, "LEASE_EXPIRED");
      if (path.endsWith("/sessions")) delta.epoch += 1;
      return init.method === "DELETE" ? Response.json({ ok: true }) : session();
    };
    return faults.shift()?.(answer, init) ?? answer();
  };
  const before = globalThis.fetch;
  context.after(() => (globalThis.fetch = before));
  globalThis.fetch = gateway;
  const authorize = async () => ({ Authorization: "Bearer person" });
  const listener = { onStopped: (error) => stopped.push(error) };
  const options = { deltaId: "delta-1", origin: ORIGIN, authorize, listener, clock, random: () => 1 };
  const disk = await openDelta({ ...options, isHidden: () => false });
  context.after(() => disk.stop(new Error("over"), { isTold: false }));
  return { delta, clock, calls, faults, stopped, disk, options };
}

test("a session is made in the person's name, and reads and writes by its own token", async (context) => {
  const { delta, calls, disk } = await world(context);
  assert.deepEqual(calls, ["POST /deltas/delta-1/sessions Bearer person"]);
  await put(disk, 0, 1, 4096);
  assert.deepEqual(await read(disk, 4096, 512), delta.disk.slice(4096, 4608));
  await disk.close();
  assert.equal(delta.commits.length, 1);
  const [read_, commit] = ["/disk.img", "/commits"].map((end) => delta.requests.find(({ url }) => url.endsWith(end)));
  assert.equal(commit.url, `${ORIGIN}/v1/deltas/delta-1/commits`);
  assert.equal(commit.init.headers.Authorization, "Bearer session-1");
  assert.equal(read_.init.credentials, "omit");
  assert.equal(calls.at(-1), "DELETE /leases/lease-session-1 Bearer session-1");
});

test("a session that has expired is replaced, and its commits go on", async (context) => {
  const { delta, clock, calls, disk } = await world(context);
  delta.expired.add("session-1");
  await put(disk, 0, 1, 4096);
  clock.sleep(2 * HOUR);
  await disk.flush();
  assert.deepEqual(calls.slice(1), [
    "POST /leases/lease-session-1/renew Bearer session-1",
    "GET /deltas/delta-1 Bearer person",
    "POST /deltas/delta-1/sessions Bearer person",
  ]);
  assert.equal(delta.epoch, 2);
  assert.equal(disk.status.state, "saved");
});

test("a session whose answer was lost is no other writer", async (context) => {
  const { delta, clock, faults, stopped, disk } = await world(context);
  delta.expired.add("session-1");
  const pass = (answer) => answer();
  faults.push(pass, pass, (answer) => (answer(), refusal(502, "INTERNAL")));
  await put(disk, 0, 1, 4096);
  const flushed = disk.flush();
  await until(() => faults.length === 0);
  await until(() => delta.commits.length === 1 || clock.advance(100));
  await flushed;
  assert.equal(delta.epoch, 3);
  assert.deepEqual(stopped, []);
});

test("a page whose session has expired does not take the delta back from another page", async (context) => {
  const { delta, clock, stopped, disk, options } = await world(context);
  delta.expired.add("session-1");
  clock.sleep(2 * HOUR);
  const other = await openDelta({ ...options, listener: {} });
  context.after(() => other.stop(new Error("over"), { isTold: false }));
  await put(disk, 0, 1, 4096);
  await assert.rejects(disk.flush(), { code: "FENCED" });
  assert.equal(stopped.length, 1);
  assert.equal(delta.epoch, 2);
  await put(other, 0, 2, 4096);
  await other.flush();
  assert.equal(delta.disk[0], 2);
});

test("of two pages the older one is told, and writes nothing more", async (context) => {
  const { delta, stopped, disk, options } = await world(context);
  await put(disk, 0, 1, 4096);
  await disk.flush();
  const newer = await openDelta({ ...options, listener: {} });
  context.after(() => newer.stop(new Error("over"), { isTold: false }));
  await put(disk, 0, 2, 4096);
  await assert.rejects(disk.flush(), { code: "FENCED" });
  assert.equal(stopped.length, 1);
  assert.equal((await read(newer, 0, 512))[0], 1);
  await put(newer, 0, 3, 4096);
  await newer.flush();
  assert.equal(delta.disk[0], 3);
});

test("a page that neither reads nor writes is told when it renews its session", async (context) => {
  const { delta, clock, calls, stopped } = await world(context);
  delta.epoch += 1;
  clock.advance(HOUR / 2);
  await until(() => stopped.length === 1);
  assert.equal(stopped[0].code, "FENCED");
  assert.deepEqual(calls.slice(1), [
    "POST /leases/lease-session-1/renew Bearer session-1",
    "GET /deltas/delta-1 Bearer person",
  ]);
});

test("a renewal does not need to know who the writer is", async (context) => {
  const { clock, calls, faults, stopped, disk } = await world(context);
  faults.push((answer) => answer(), () => refusal(401, "UNAUTH"));
  clock.advance(HOUR / 2);
  await until(() => calls.length === 3);
  await put(disk, 0, 1, 4096);
  await disk.flush();
  assert.deepEqual(stopped, []);
});

test("a gateway that does not say who the writer is, is asked again", async (context) => {
  context.mock.method(AbortSignal, "timeout", () => AbortSignal.abort(new DOMException("over", "TimeoutError")));
  const { delta, clock, faults, stopped, disk } = await world(context);
  delta.expired.add("session-1");
  const hang = (answer, { signal }) => new Promise((_, reject) => signal?.aborted && reject(signal.reason));
  faults.push((answer) => answer(), hang);
  await put(disk, 0, 1, 4096);
  const flushed = disk.flush();
  await until(() => delta.commits.length === 1 || clock.advance(100));
  await flushed;
  assert.deepEqual(stopped, []);
});
