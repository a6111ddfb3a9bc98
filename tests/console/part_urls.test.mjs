import assert from "node:assert/strict";
import test from "node:test";
import { PartUrls } from "../../image_gateway/console/upload/part_urls.js";
import { deferred } from "./upload_world.mjs";

/** A gateway whose clock is far from the page's. */
function makeUrls(count, { batch = 3, lifetime = 600_000 } = {}) {
  const world = { time: 1000, calls: [], answer: null };
  const server = Date.UTC(2031, 5, 5);
  const sign = async (numbers) => {
    world.calls.push(numbers);
    await world.answer;
    const urls = numbers.map((partNumber) => ({ partNumber, url: `${partNumber}/${world.calls.length}` }));
    const moment = (later) => new Date(server + later).toISOString();
    return { urls, serverTime: moment(0), expiresAt: moment(lifetime) };
  };
  const numbers = Array.from({ length: count }, (_, index) => index + 1);
  world.urls = new PartUrls(numbers, { sign, batch, now: () => world.time });
  return world;
}

test("URLs are fetched in batches, for those that come next", async () => {
  const { urls, calls } = makeUrls(7);
  for (let number = 1; number <= 7; number += 1) {
    assert.equal(await urls.take(number), `${number}/${Math.ceil(number / 3)}`);
    urls.done(number);
  }
  assert.deepEqual(calls, [[1, 2, 3], [4, 5, 6], [7]]);
});

test("those who need URLs at the same time wait for one answer", async () => {
  const { urls, calls } = makeUrls(4, { batch: 4 });
  assert.deepEqual(await Promise.all([1, 2, 3].map((number) => urls.take(number))), ["1/1", "2/1", "3/1"]);
  assert.equal(calls.length, 1);
});

test("a URL is renewed before it expires by the server's clock", async () => {
  const world = makeUrls(2);
  await world.urls.take(1);
  world.time += 569_999;
  assert.equal(await world.urls.take(2), "2/1");
  world.time += 1;
  assert.equal(await world.urls.take(2), "2/2");
});

test("the lifetime counts from the question, not from the answer", async () => {
  const world = makeUrls(2);
  const { promise, resolve } = deferred();
  world.answer = promise;
  const first = world.urls.take(1);
  world.time += 100_000;
  resolve();
  await first;
  world.time += 470_000;
  assert.equal(await world.urls.take(2), "2/2");
});

test("of a short lifetime three quarters are used", async () => {
  const world = makeUrls(2, { lifetime: 4000 });
  await world.urls.take(1);
  world.time += 2999;
  assert.equal(await world.urls.take(2), "2/1");
  world.time += 1;
  assert.equal(await world.urls.take(2), "2/2");
});

test("a URL that expires at once is used all the same: the store decides", async () => {
  const { urls } = makeUrls(1, { lifetime: 0 });
  assert.equal(await urls.take(1), "1/1");
});

test("a URL that did not work is not used again, nor those that are as old", async () => {
  const { urls, calls } = makeUrls(6);
  assert.equal(await urls.take(1), "1/1");
  assert.equal(await urls.take(4), "4/2");
  urls.drop(1, "1/1");
  assert.equal(await urls.take(1), "1/3");
  assert.deepEqual([await urls.take(2), await urls.take(3)], ["2/3", "3/3"]);
  assert.equal(await urls.take(5), "5/2");
  urls.drop(2, "2/3");
  assert.equal(await urls.take(6), "6/4");
  assert.deepEqual(calls, [[1, 2, 3], [4, 5, 6], [1, 2, 3], [1, 2, 6]]);
});

test("a part that fails with its old URL leaves the new ones", async () => {
  const { urls } = makeUrls(3);
  const old = await Promise.all([1, 2, 3].map((number) => urls.take(number)));
  urls.drop(1, old[0]);
  assert.equal(await urls.take(1), "1/2");
  urls.drop(2, old[1]);
  urls.drop(3, old[2]);
  assert.deepEqual([await urls.take(2), await urls.take(3)], ["2/2", "3/2"]);
});

test("no URL is fetched for a part that is done", async () => {
  const { urls, calls } = makeUrls(4, { batch: 4 });
  urls.done(2);
  await urls.take(1);
  assert.deepEqual(calls, [[1, 3, 4]]);
});

test("if fetching fails, each of those who wait asks itself", async () => {
  const world = makeUrls(3);
  world.answer = Promise.reject(new Error("no"));
  const taken = [1, 2].map((number) => world.urls.take(number));
  await assert.rejects(taken[0], /no/);
  world.answer = null;
  assert.equal((await Promise.allSettled(taken))[1].status, "rejected");
  assert.equal(await world.urls.take(2), "2/3");
});

test("a gateway that leaves a URL out is asked again later", async () => {
  const moment = new Date(0).toISOString();
  const sign = async () => ({ urls: [], serverTime: moment, expiresAt: moment });
  const urls = new PartUrls([1], { sign, batch: 3, now: () => 0 });
  await assert.rejects(urls.take(1), { name: "Retryable", reason: "gateway" });
});
