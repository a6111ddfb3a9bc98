// A lease is kept valid: renewed in time, after sleep, through faults, and replaced where that is possible.
import assert from "node:assert/strict";
import test from "node:test";

import { Lease } from "../../image_gateway/console/open/lease.js";
import { apiError, FakeClock, leaseDocument, until } from "./open_fakes.mjs";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** The gateway's leases; its clock is `ahead` of the browser's by so many milliseconds. */
function world({ ttl = 10 * MINUTE, session = 12 * HOUR, isLink = false, ahead = 0 } = {}) {
  const clock = new FakeClock();
  const calls = [];
  const faults = [];
  const events = { renewed: 0, problems: [], ended: [] };
  let made = 0;
  let sessionEnd = 0;
  const issue = (call, token) => {
    calls.push(call);
    const fault = faults.shift();
    if (fault) throw fault;
    const serverTime = clock.now() + ahead;
    const expires = Math.min(serverTime + ttl, sessionEnd);
    const times = { expiresAt: new Date(expires).toISOString(), sessionEndsAt: new Date(sessionEnd).toISOString() };
    return { document: leaseDocument(token, times), serverTime };
  };
  const make = async () => {
    sessionEnd = clock.now() + ahead + session;
    made += 1;
    return issue("make", `lease-${made}`);
  };
  const requests = {
    make: isLink ? null : make,
    renew: async (lease) => issue(`renew ${lease.token}`, lease.token),
    revoke: async (lease, options) => void calls.push(`revoke ${lease.token} ${options?.isLeaving ?? false}`),
  };
  const listener = {
    onRenewed: () => (events.renewed += 1),
    onProblem: (problem) => events.problems.push(problem && (problem.isSignedOut ? "signed out" : problem.message)),
    onEnded: (error) => events.ended.push(error),
  };
  const start = async () => {
    const issued = await make();
    calls.length = 0;
    return new Lease(issued, requests, listener, { clock, random: () => 1 });
  };
  return { clock, calls, faults, events, start };
}

test("a lease is renewed when half of its lifetime is over, again and again", async () => {
  const { clock, calls, start } = world();
  const lease = await start();
  const first = lease.current;
  clock.advance(5 * MINUTE - 1);
  assert.deepEqual(calls, []);
  clock.advance(1);
  assert.deepEqual(calls, ["renew lease-1"]);
  await until(() => lease.current !== first);
  for (let renewal = 2; renewal < 6; renewal += 1) {
    await until(() => clock.timers.size === 1);
    clock.advance(5 * MINUTE);
    assert.equal(calls.length, renewal);
  }
});

test("the gateway's clock counts, not the browser's", async () => {
  for (const ahead of [-3 * HOUR, 3 * HOUR]) {
    const { clock, calls, start } = world({ ahead });
    await start();
    clock.advance(5 * MINUTE - 1);
    assert.deepEqual(calls, []);
    clock.advance(1);
    assert.deepEqual(calls, ["renew lease-1"]);
  }
});

test("after sleep a lease is renewed within 15 seconds, or at once when the page is told", async () => {
  for (const isTold of [false, true]) {
    const { clock, calls, start } = world();
    const lease = await start();
    clock.advance(MINUTE);
    clock.sleep(HOUR);
    if (isTold) lease.check();
    else clock.advance(15_000);
    assert.deepEqual(calls, ["renew lease-1"]);
  }
});

test("a check before the time does nothing", async () => {
  const { clock, calls, start } = world();
  const lease = await start();
  clock.advance(4 * MINUTE);
  lease.check();
  assert.deepEqual(calls, []);
  assert.equal(clock.timers.size, 1);
});

test("a renewal that fails is tried again, and the problem is told once it is over, too", async () => {
  const { clock, calls, faults, events, start } = world();
  await start();
  faults.push(apiError(0, "NETWORK"), apiError(503, "CATALOG_UNAVAILABLE"), apiError(429, "TOO_MANY_REQUESTS"));
  clock.advance(5 * MINUTE);
  for (const [failures, wait] of [[1, 500], [2, 1000], [3, 2000]]) {
    await until(() => events.problems.length === failures);
    clock.advance(wait - 1);
    assert.equal(calls.length, failures);
    clock.advance(1);
  }
  await until(() => events.problems.at(-1) === null);
  assert.equal(events.problems.length, 4);
  assert.equal(events.renewed, 2);
  assert.deepEqual(events.ended, []);
});

test("after signing in again the lease is renewed at the next check", async () => {
  const { clock, calls, faults, events, start } = world();
  const lease = await start();
  faults.push(apiError(401, "UNAUTH"));
  clock.advance(5 * MINUTE);
  await until(() => events.problems.length === 1);
  assert.deepEqual(events.problems, ["signed out"]);
  lease.check();
  await until(() => events.problems.at(-1) === null);
  assert.deepEqual(calls, ["renew lease-1", "renew lease-1"]);
});

test("when the network is back a renewal that waits comes at once, and waits are short again", async () => {
  const { clock, calls, faults, events, start } = world();
  const lease = await start();
  faults.push(...Array.from({ length: 9 }, () => apiError(0, "NETWORK")));
  clock.advance(5 * MINUTE);
  for (let failures = 1; failures <= 8; failures += 1) {
    await until(() => events.problems.length === failures);
    if (failures < 8) clock.advance(15_000);
  }
  lease.check();
  await until(() => events.problems.length === 9);
  clock.advance(500);
  await until(() => events.problems.at(-1) === null);
  assert.equal(calls.length, 10);
});

for (const [status, code] of [[401, "LEASE_EXPIRED"], [404, "NOT_FOUND"]]) {
  test(`a lease that cannot be renewed (${code}) is replaced by another one`, async () => {
    const { clock, calls, faults, events, start } = world();
    const lease = await start();
    faults.push(apiError(status, code));
    clock.advance(5 * MINUTE);
    await until(() => lease.current.token === "lease-2");
    assert.deepEqual(calls, ["renew lease-1", "make"]);
    assert.deepEqual(events.ended, []);
  });
}

test("at the end of its session a lease is replaced, without a renewal that prolongs nothing", async () => {
  const { clock, calls, start } = world({ session: 12 * MINUTE });
  const lease = await start();
  clock.advance(5 * MINUTE);
  await until(() => calls.length === 1 && clock.timers.size === 1);
  clock.advance(3.5 * MINUTE);
  await until(() => lease.current.token === "lease-2");
  assert.deepEqual(calls, ["renew lease-1", "make"]);
});

for (const [status, code] of [[403, "LEASE_REVOKED"], [403, "FORBIDDEN"], [409, "INVALID_STATE"]]) {
  test(`${code} ends the lease for good`, async () => {
    const { clock, calls, faults, events, start } = world();
    const lease = await start();
    faults.push(apiError(status, code));
    clock.advance(5 * MINUTE);
    await until(() => events.ended.length === 1);
    const [error] = events.ended;
    assert.deepEqual([error.name, error.code, error.requestId], ["LeaseEnded", code, "request-1"]);
    await assert.rejects(lease.refresh(lease.current), error);
    lease.check();
    clock.advance(HOUR);
    assert.equal(calls.length, 1);
    assert.equal(clock.timers.size, 0);
  });
}

test("an image that is gone ends the lease: another one cannot be made", async () => {
  const { clock, faults, events, start } = world();
  await start();
  faults.push(apiError(404, "NOT_FOUND"), apiError(404, "NOT_FOUND"));
  clock.advance(5 * MINUTE);
  await until(() => events.ended.length === 1);
  assert.equal(events.ended[0].message, "The access to this image has ended: server: NOT_FOUND.");
});

test("a reader's refresh renews once for all readers", async () => {
  const { calls, start } = world();
  const lease = await start();
  const stale = lease.current;
  await Promise.all([lease.refresh(stale), lease.refresh(stale), lease.refresh(stale)]);
  await lease.refresh(stale);
  assert.deepEqual(calls, ["renew lease-1"]);
  assert.notEqual(lease.current, stale);
});

test("a reader that was refused ends the wait of a renewal: the network is back", async () => {
  const { clock, faults, events, start } = world();
  const lease = await start();
  faults.push(apiError(0, "NETWORK"));
  clock.advance(5 * MINUTE);
  await until(() => events.problems.length === 1);
  const stale = lease.current;
  await lease.refresh(stale);
  assert.notEqual(lease.current, stale);
  assert.equal(events.renewed, 2);
});

test("the lease of a link is renewed by itself, and none is made in its place", async () => {
  const { clock, calls, faults, events, start } = world({ isLink: true });
  const lease = await start();
  clock.advance(5 * MINUTE);
  await until(() => events.renewed === 2);
  faults.push(apiError(401, "LEASE_EXPIRED"));
  await assert.rejects(lease.refresh(lease.current), {
    message: "The access by this link has ended. Open the link again.",
  });
  assert.deepEqual(calls, ["renew lease-1", "renew lease-1"]);
});

test("the last renewal of a link's lease is followed by no more", async () => {
  const { clock, calls, events, start } = world({ isLink: true, session: 12 * MINUTE });
  await start();
  clock.advance(5 * MINUTE);
  await until(() => events.renewed === 2);
  clock.advance(HOUR);
  assert.deepEqual(calls, ["renew lease-1"]);
});

test("a lease that is given back is revoked, and renewed no more", async () => {
  const { clock, calls, start } = world();
  const lease = await start();
  await lease.release({ isLeaving: true });
  clock.advance(HOUR);
  assert.deepEqual(calls, ["revoke lease-1 true"]);
  assert.equal(clock.timers.size, 0);
});

test("a renewal that comes back after the lease was given back changes nothing", async () => {
  const { clock, events, faults, start } = world();
  const lease = await start();
  faults.push(apiError(0, "NETWORK"));
  clock.advance(5 * MINUTE);
  await until(() => events.problems.length === 1);
  lease.stop();
  await until(() => clock.timers.size === 0);
  assert.deepEqual([events.renewed, events.ended.length], [1, 0]);
});
