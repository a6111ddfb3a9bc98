import assert from "node:assert/strict";
import test from "node:test";
import { isRetryable, Retryable, retryAfterSeconds } from "../../image_gateway/console/upload/errors.js";
import { backoff, BASE_DELAY, MAX_DELAY, Retrier } from "../../image_gateway/console/upload/retry.js";
import { FakeClock, FakeNetwork, settle } from "./upload_world.mjs";

function makeRetrier(random = () => 1) {
  const [clock, network, signals] = [new FakeClock(), new FakeNetwork(), []];
  const retrier = new Retrier({ clock, network, random, onSignedOut: () => signals.push("signed-out") });
  return { clock, network, retrier, signals };
}

/** Work that fails with the given errors, one after the other, and then succeeds. */
function failing(...errors) {
  const work = async () => {
    work.calls += 1;
    if (errors.length > 0) throw errors.shift();
    return "result";
  };
  work.calls = 0;
  return work;
}

function begin(retrier, work) {
  const [stop, reasons] = [new AbortController(), []];
  const call = { reasons, stop, result: undefined, error: undefined };
  call.promise = retrier.call(work, stop.signal, (reason) => reasons.push(reason)).then(
    (result) => (call.result = result),
    (error) => (call.error = error),
  );
  return call;
}

test("the wait doubles up to a maximum", () => {
  const longest = Array.from({ length: 9 }, (_, attempt) => backoff(attempt, 0, () => 1));
  assert.deepEqual(longest, [500, 1000, 2000, 4000, 8000, 16_000, MAX_DELAY, MAX_DELAY, MAX_DELAY]);
  assert.equal(backoff(1e9, 0, () => 1), MAX_DELAY);
});

test("jitter takes away up to half of the wait", () => {
  assert.equal(backoff(0, 0, () => 0), BASE_DELAY / 2);
  assert.equal(backoff(20, 0, () => 0), MAX_DELAY / 2);
});

test("Retry-After comes before the wait", () => {
  assert.equal(backoff(0, 7, () => 1), 7500);
});

for (const [header, seconds] of [
  [null, 0],
  ["0", 0],
  ["17", 17],
  ["999999", 3600],
  ["-1", 0],
  ["1.5", 0],
  ["Wed, 21 Oct 2026 07:28:00 GMT", 0],
]) {
  test(`Retry-After: ${header} is ${seconds} seconds`, () => assert.equal(retryAfterSeconds(header), seconds));
}

test("which statuses pass by themselves", () => {
  const passing = [408, 425, 429, 500, 502, 503, 504, 507, 599];
  const permanent = [200, 301, 400, 401, 403, 404, 409, 411, 412, 413, 501, 505];
  assert.deepEqual(passing.filter(isRetryable), passing);
  assert.deepEqual(permanent.filter(isRetryable), []);
});

test("a request is sent again until it succeeds, however often it fails", async () => {
  const { clock, retrier } = makeRetrier();
  const work = failing(...Array.from({ length: 500 }, () => new Retryable("gateway")));
  const call = begin(retrier, work);
  await clock.advance(500 * MAX_DELAY);
  await call.promise;
  assert.equal(call.result, "result");
  assert.equal(work.calls, 501);
  assert.deepEqual(clock.delays.slice(0, 4), [500, 1000, 2000, 4000]);
  assert.equal(Math.max(...clock.delays), MAX_DELAY);
  assert.deepEqual([call.reasons[0], call.reasons.at(-1)], ["gateway", null]);
});

test("another error is thrown at once", async () => {
  const { retrier } = makeRetrier();
  const work = failing(new TypeError("wrong"));
  const call = begin(retrier, work);
  await call.promise;
  assert.equal(call.error.message, "wrong");
  assert.deepEqual([work.calls, call.reasons], [1, [null]]);
});

test("nothing is sent before Retry-After is over", async () => {
  const { clock, network, retrier } = makeRetrier();
  const work = failing(new Retryable("busy", 60));
  const call = begin(retrier, work);
  await clock.advance(60_000);
  network.goOnline();
  await settle();
  assert.equal(work.calls, 1);
  await clock.advance(500);
  await call.promise;
  assert.deepEqual([work.calls, call.reasons], [2, ["busy", null]]);
});

test("without a network it asks at long intervals, and at once when the network returns", async () => {
  const { clock, network, retrier } = makeRetrier();
  network.isOnline = false;
  const work = failing(...Array.from({ length: 3 }, () => new Retryable("store")));
  const call = begin(retrier, work);
  await clock.advance(MAX_DELAY - 1);
  assert.equal(work.calls, 1);
  await clock.advance(1);
  assert.equal(work.calls, 2);
  network.goOnline();
  await settle();
  assert.equal(work.calls, 3);
  assert.deepEqual(call.reasons, ["offline", "offline", "store"]);
  await clock.advance(MAX_DELAY);
  assert.equal(call.result, "result");
});

test("aborting ends the wait and leaves no timer", async () => {
  const { clock, retrier } = makeRetrier();
  const call = begin(retrier, failing(new Retryable("gateway")));
  await settle();
  assert.equal(clock.pending, 1);
  call.stop.abort();
  await call.promise;
  assert.equal(call.error.name, "AbortError");
  assert.equal(clock.pending, 0);
});

test("after the session has ended it waits for the sign-in, not for time", async () => {
  const { clock, retrier, signals } = makeRetrier();
  const calls = [1, 2].map(() => begin(retrier, failing(new Retryable("signed-out"))));
  await clock.advance(24 * 3_600_000);
  assert.deepEqual(calls.map(({ result }) => result), [undefined, undefined]);
  assert.deepEqual([signals, retrier.isSignedOut], [["signed-out"], true]);
  retrier.signedIn();
  await Promise.all(calls.map(({ promise }) => promise));
  assert.deepEqual(calls.map(({ result }) => result), ["result", "result"]);
  assert.equal(retrier.isSignedOut, false);
});

test("each time the session ends it is told once", async () => {
  const { retrier, signals } = makeRetrier();
  const call = begin(retrier, failing(new Retryable("signed-out"), new Retryable("signed-out")));
  await settle();
  retrier.signedIn();
  await settle();
  assert.equal(signals.length, 2);
  retrier.signedIn();
  await call.promise;
  assert.equal(call.result, "result");
});

test("an answer to a request from before the sign-in does not sign out again", async () => {
  const { retrier, signals } = makeRetrier();
  let answer;
  const late = new Promise((_, reject) => (answer = () => reject(new Retryable("signed-out"))));
  const answers = [late, Promise.resolve("result")];
  const call = begin(retrier, () => answers.shift());
  retrier.signedIn();
  answer();
  await call.promise;
  assert.deepEqual([call.result, signals], ["result", []]);
});

test("a pause ends the wait for the sign-in", async () => {
  const { retrier } = makeRetrier();
  const call = begin(retrier, failing(new Retryable("signed-out")));
  await settle();
  call.stop.abort();
  await call.promise;
  assert.equal(call.error.name, "AbortError");
  assert.equal(retrier.isSignedOut, false);
});
