// A download that is paused, cut, refused or goes on after its image was replaced.
import assert from "node:assert/strict";
import test from "node:test";

import { Download, STALL_MS } from "../../image_gateway/console/link/download.js";

const SIZE = 1000;
const DATA = Uint8Array.from({ length: SIZE }, (_, index) => index % 251);
const ETAG = '"one"';

/** Waits are over at once, and counted; connections only stall when a test says so. */
function instantClock() {
  const waits = [];
  const clock = {
    waits,
    hasStalled: false,
    now: () => 0,
    setTimeout: (call, milliseconds) => {
      if (milliseconds === STALL_MS) return clock.hasStalled ? setImmediate(call) : setImmediate(() => {});
      waits.push(milliseconds);
      return setImmediate(call);
    },
    clearTimeout: (timer) => clearImmediate(timer),
  };
  return clock;
}

/** The rest of the image in parts; `cut` breaks the connection after so many bytes. */
function answer(headers, { cut = Infinity, part = 100, etag = ETAG, data = DATA, onCut } = {}) {
  const start = Number(/^bytes=(\d+)-$/.exec(headers.Range)[1]);
  if (headers["If-Range"] && headers["If-Range"] !== etag)
    return new Response(data, { status: 200, headers: { ETag: etag } });
  let at = start;
  const body = new ReadableStream({
    pull(controller) {
      if (at - start >= cut) return onCut ? onCut() : controller.error(new TypeError("network error"));
      if (at >= data.length) return controller.close();
      controller.enqueue(data.slice(at, Math.min(at + part, data.length)));
      at += part;
    },
  });
  const range = `bytes ${start}-${data.length - 1}/${data.length}`;
  return new Response(body, { status: 206, headers: { "Content-Range": range, ETag: etag } });
}

function refusal(status, code, headers = {}) {
  return new Response(JSON.stringify({ error: { code, message: `because of ${code}` } }), { status, headers });
}

/** A download whose requests are answered in turn; the last answer holds for all further ones. */
function world(...answers) {
  const seen = { requests: [], states: [], written: [], closed: 0, aborted: 0, refreshed: 0 };
  const clock = instantClock();
  const lease = {
    current: { url: "/v1/l/one/disk.img" },
    refresh: async () => {
      seen.refreshed += 1;
      lease.current = { url: "/v1/l/two/disk.img" };
    },
  };
  const sink = {
    write: async (bytes) => void seen.written.push(...bytes),
    close: async () => void (seen.closed += 1),
    abort: async () => void (seen.aborted += 1),
  };
  const fetch = async (url, { headers, signal }) => {
    seen.requests.push([url, headers.Range, headers["If-Range"]]);
    const next = answers.length > 1 ? answers.shift() : answers[0];
    const made = typeof next === "function" ? await next(headers, signal) : next;
    if (made instanceof Error) throw made;
    return made;
  };
  const onChange = () => seen.states.at(-1) !== download.state && seen.states.push(download.state);
  const download = new Download({ lease, size: SIZE, sink, onChange, fetch, clock, random: () => 0.5 });
  return { download, seen, clock, lease, sink };
}

const whole = (headers) => answer(headers);

function assertWhole({ download, seen }) {
  assert.equal(download.state, "done", download.problem?.message);
  assert.deepEqual(Uint8Array.from(seen.written), DATA);
  assert.deepEqual([seen.closed, seen.aborted], [1, 0]);
}

test("an image is written as it is", async () => {
  const it = world(whole);
  await it.download.run();
  assertWhole(it);
  assert.deepEqual(it.seen.requests, [["/v1/l/one/disk.img", "bytes=0-", undefined]]);
  assert.deepEqual(it.seen.states, ["running", "done"]);
});

test("an empty image needs no request", async () => {
  const it = world(whole);
  it.download.size = 0;
  await it.download.run();
  assert.deepEqual([it.download.state, it.seen.requests.length, it.seen.closed], ["done", 0, 1]);
});

test("a connection that breaks is gone on with where it broke, with the same version", async () => {
  const it = world(
    (headers) => answer(headers, { cut: 300 }),
    new TypeError("offline"),
    (headers) => answer(headers, { cut: 200 }),
    whole,
  );
  await it.download.run();
  assertWhole(it);
  assert.deepEqual(
    it.seen.requests.map(([, range, version]) => [range, version]),
    [
      ["bytes=0-", undefined],
      ["bytes=300-", ETAG],
      ["bytes=300-", ETAG],
      ["bytes=500-", ETAG],
    ],
  );
  assert.deepEqual(it.seen.states, [
    "running",
    "waiting",
    "running",
    "waiting",
    "running",
    "waiting",
    "running",
    "done",
  ]);
});

test("waits get longer while nothing comes, and are short again afterwards", async () => {
  const cut = (headers) => answer(headers, { cut: 100 });
  const it = world(new TypeError("offline"), new TypeError("offline"), new TypeError("offline"), cut, whole);
  await it.download.run();
  assertWhole(it);
  const [first, second, third, afterwards] = it.clock.waits;
  assert.ok(first < second && second < third && afterwards === first, String(it.clock.waits));
});

test("a connection that is silent is given up, and gone on with", async () => {
  const silent = (headers) => {
    it.clock.hasStalled = true;
    return answer(headers, { cut: 300, onCut: () => new Promise(() => {}) });
  };
  const it = world(silent, (headers) => {
    it.clock.hasStalled = false;
    return answer(headers);
  });
  await it.download.run();
  assertWhole(it);
  assert.deepEqual(it.seen.requests.at(-1).slice(1), ["bytes=300-", ETAG]);
});

test("a gateway that is overloaded is asked again when it says", async () => {
  const it = world(refusal(503, "OVERLOADED", { "Retry-After": "7" }), whole);
  await it.download.run();
  assertWhole(it);
  assert.ok(it.clock.waits[0] >= 7000);
});

test("an expired lease is renewed", async () => {
  const it = world((headers) => answer(headers, { cut: 400 }), refusal(401, "LEASE_EXPIRED"), whole);
  await it.download.run();
  assertWhole(it);
  assert.equal(it.seen.refreshed, 1);
  assert.deepEqual(it.seen.requests.at(-1), ["/v1/l/two/disk.img", "bytes=400-", ETAG]);
});

test("a lease that cannot be renewed ends the download", async () => {
  const it = world(refusal(401, "LEASE_EXPIRED"));
  it.lease.refresh = async () => Promise.reject(new Error("the access has ended"));
  await it.download.run();
  assert.deepEqual([it.download.state, it.download.problem.message], ["failed", "the access has ended"]);
});

test("a refusal ends the download with the gateway's words, and it can be tried again", async () => {
  const it = world(
    (headers) => answer(headers, { cut: 400 }),
    refusal(403, "LEASE_REVOKED", { "X-Request-Id": "r1" }),
    whole,
  );
  await it.download.run();
  const { state, problem } = it.download;
  assert.deepEqual([state, problem.message, problem.requestId], ["failed", "because of LEASE_REVOKED", "r1"]);
  assert.equal(it.seen.closed, 0);
  await it.download.run();
  assertWhole(it);
});

for (const [what, other] of [
  ["answers with another whole version", (headers) => answer(headers, { etag: '"two"' })],
  ["has another version of the same size", (headers) => answer({ Range: headers.Range }, { etag: '"two"' })],
  ["has another size", (headers) => answer({ Range: headers.Range }, { data: DATA.slice(0, 900) })],
  ["begins elsewhere", () => answer({ Range: "bytes=7-" })],
]) {
  test(`bytes are never mixed: the gateway ${what}`, async () => {
    const it = world((headers) => answer(headers, { cut: 300 }), other);
    await it.download.run();
    assert.equal(it.download.state, "failed");
    assert.match(it.download.problem.message, /replaced/);
    assert.deepEqual([it.seen.written.length, it.seen.closed], [300, 0]);
  });
}

test("a paused download goes on where it was", async () => {
  const it = world(whole);
  const write = it.sink.write;
  it.sink.write = async (bytes) => {
    if (it.seen.written.length === 500) it.download.pause();
    await write(bytes);
  };
  await it.download.run();
  assert.deepEqual([it.download.state, it.download.received], ["paused", 600]);
  await it.download.run();
  assertWhole(it);
  assert.deepEqual(it.seen.requests.at(-1).slice(1), ["bytes=600-", ETAG]);
});

test("going on at once after a pause writes no byte twice", async () => {
  const it = world(whole);
  const write = it.sink.write;
  let again;
  it.sink.write = async (bytes) => {
    if (it.seen.written.length === 500 && !again) {
      it.download.pause();
      again = it.download.run();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await write(bytes);
  };
  await it.download.run();
  await again;
  assertWhole(it);
});

test("a pause ends a wait", async () => {
  const it = world(new TypeError("offline"));
  it.clock.setTimeout = () => 0;
  const running = it.download.run();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(it.download.state, "waiting");
  it.download.pause();
  await running;
  assert.equal(it.download.state, "paused");
});

test("what was written is discarded by a cancellation", async () => {
  const it = world(whole);
  const write = it.sink.write;
  let cancelled;
  it.sink.write = async (bytes) => {
    cancelled ??= it.download.cancel();
    await write(bytes);
  };
  await it.download.run();
  await cancelled;
  assert.deepEqual([it.download.state, it.seen.aborted, it.seen.closed], ["cancelled", 1, 0]);
});

test("a full disk fails the download", async () => {
  const it = world(whole);
  it.sink.write = async () => Promise.reject(new DOMException("no space", "QuotaExceededError"));
  await it.download.run();
  assert.deepEqual([it.download.state, it.download.problem.message], ["failed", "no space"]);
});
