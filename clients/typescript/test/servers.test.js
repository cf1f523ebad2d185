// What happens when servers are away.
import assert from "node:assert/strict";
import { text } from "node:stream/consumers";
import { suite, test } from "node:test";
import { Holdfast } from "holdfast-client";
import { nobody, pretend, serve, until } from "./server.js";

const answer = (response, status, body, headers = {}) => response.writeHead(status, headers).end(JSON.stringify(body));

suite("servers", { timeout: 120_000 }, () => {
  test("the next server is asked when the first is away", async (t) => {
    const { url } = await serve(t);
    const holdfast = new Holdfast([await nobody(), url], { patience: 0 });
    const grant = await holdfast.lock("x", { exp: 60_000 });
    assert.deepEqual(await holdfast.unlock(grant), ["x"]);
  });

  test("the server that answered last is asked first", async (t) => {
    const asked = [];
    const away = await pretend(t, (_, response) => {
      asked.push("away");
      answer(response, 503, { error: "unavailable", message: "m" });
    });
    const there = await pretend(t, (_, response) => {
      asked.push("there");
      answer(response, 200, { locked: true });
    });
    const holdfast = new Holdfast([away, there]);
    await holdfast.check("x");
    await holdfast.check("x");
    assert.deepEqual(asked, ["away", "there", "there"]);
  });

  test("a call is repeated when its answer was lost", async (t) => {
    let count = 0;
    const url = await pretend(t, (request, response) => {
      if (++count < 3) return request.socket.destroy();
      answer(response, 200, { locked: true });
    });
    assert.equal(await new Holdfast(url).check("x"), true);
    assert.equal(count, 3);
  });

  test("unlock is repeated when a server is at its limit", async (t) => {
    let count = 0;
    const url = await pretend(t, (_, response) => {
      if (++count < 3) answer(response, 429, { error: "limit", message: "too many" });
      else answer(response, 200, { unlocked: ["x"] });
    });
    const grant = { uid: "u", tokens: [{ key: "x", version: 7 }] };
    assert.deepEqual(await new Holdfast(url).unlock(grant), ["x"]);
    assert.equal(count, 3);
  });

  test("force is not repeated when it may have happened", async (t) => {
    let count = 0;
    const url = await pretend(t, (request) => (count++, request.socket.destroy()));
    await assert.rejects(new Holdfast([url, url]).force("x"), { code: "unavailable", outcomeUnknown: true });
    assert.equal(count, 1);
  });

  test("Retry-After is honoured", async (t) => {
    const times = [];
    const url = await pretend(t, (_, response) => {
      if (times.push(performance.now()) > 1) return answer(response, 200, { locked: false });
      answer(response, 503, { error: "unavailable", message: "m" }, { "retry-after": "1" });
    });
    for (const servers of [[url], [url, await nobody()], [await nobody(), url]]) {
      times.length = 0;
      assert.equal(await new Holdfast(servers).check("x"), false);
      assert.ok(times[1] - times[0] >= 995, `asked again after ${times[1] - times[0]} ms`);
    }
  });

  test("patience has an end, and the error says what is known", async (t) => {
    const url = await pretend(t, (_, response) => {
      answer(response, 503, { error: "unavailable", message: "m", outcome: "unknown" }, { "retry-after": "3" });
    });
    const refused = { code: "unavailable", message: "m", retryAfter: 3000, outcomeUnknown: true };
    await assert.rejects(new Holdfast(url, { patience: 100 }).check("x"), refused);
    await assert.rejects(new Holdfast([url, await nobody()], { patience: 0 }).check("x"), { outcomeUnknown: true });
    const alone = new Holdfast(await nobody(), { patience: 0 });
    await assert.rejects(alone.check("x"), { code: "unavailable", outcomeUnknown: false });
  });

  test("patience with a server that hangs has an end, however short it is", async (t) => {
    let count = 0;
    const url = await pretend(t, () => count++);
    await assert.rejects(new Holdfast(url, { patience: 1000 }).check("x"), { code: "unavailable", outcomeUnknown: true });
    assert.equal(count, 1);
  });

  test("nobody stands in line at a server that hangs", async (t) => {
    const asked = [];
    const hanging = await pretend(t, ({ url }) => asked.push(url));
    const { url } = await serve(t);
    const holdfast = new Holdfast([hanging, url]);
    const [lock, hold] = await Promise.all([holdfast.lock("x", { wait: 60_000 }), holdfast.hold("y")]);
    await holdfast.unlock(lock);
    await hold.unlock();
    const refused = { code: "unavailable", outcomeUnknown: false };
    await assert.rejects(new Holdfast(hanging, { patience: 0 }).hold("z"), refused);
    assert.deepEqual(new Set(asked), new Set(["/ping"]));
  });

  test("pausing between servers ends with the signal", async () => {
    const signal = AbortSignal.timeout(100);
    await assert.rejects(new Holdfast(await nobody()).check("x", { signal }), { name: "TimeoutError" });
  });

  test("a refusal is an answer", async (t) => {
    let count = 0;
    const url = await pretend(t, (_, response) => {
      count++;
      answer(response, 429, { error: "limit", message: "too many" }, { "retry-after": "2" });
    });
    await assert.rejects(new Holdfast([url, url]).lock("x"), { code: "limit", retryAfter: 2000 });
    assert.equal(count, 1);
  });

  test("what was granted without an answer is given back when the next server does not look", async (t) => {
    const { url } = await serve(t);
    let locks = 0;
    const between = await pretend(t, async (request, response) => {
      if (request.url === "/lock" && ++locks > 1) return answer(response, 429, { error: "limit", message: "too many" });
      const body = request.method === "GET" ? undefined : await text(request);
      const passed = await fetch(url + request.url, { method: request.method, body });
      if (request.url === "/lock") return request.socket.destroy(); // the answer is lost
      response.writeHead(passed.status).end(await passed.text());
    });
    const holdfast = new Holdfast(between);
    await assert.rejects(holdfast.lock("x", { exp: 86_400_000 }), { code: "limit", outcomeUnknown: true });
    await until(async () => !(await holdfast.check("x")));
  });

  test("what is not a lock service is told from one", async (t) => {
    const url = await pretend(t, (_, response) => response.writeHead(404).end("<p>no such page"));
    await assert.rejects(new Holdfast(url).check("x"), { code: "unavailable", message: /not that of a lock service/ });
  });

  test("what another service says in JSON is no answer", async (t) => {
    for (const body of [{}, [], null, { status: "ok" }, { error: "locked", message: "m" }]) {
      const url = await pretend(t, (_, response) => answer(response, 200, body));
      const holdfast = new Holdfast(url);
      for (const call of [
        () => holdfast.withLock("x", {}, () => assert.fail("it was not granted")),
        () => holdfast.lock("x"),
        () => holdfast.check("x"),
        () => holdfast.unlock({ uid: "u", tokens: [{ key: "x", version: 7 }] }),
        () => holdfast.extend({ uid: "u" }),
        () => holdfast.list(),
        () => holdfast.get("x"),
        () => holdfast.get("."),
        () => holdfast.force("x"),
      ]) {
        const refused = { code: "unavailable", outcomeUnknown: true, message: /not that of a lock service/ };
        await assert.rejects(call(), refused);
      }
    }
  });

  test("the failure of a proxy that speaks JSON is one of the server behind it", async (t) => {
    let count = 0;
    const url = await pretend(t, (_, response) => {
      if (++count % 2 === 0) return answer(response, 200, { locked: true, released: [] });
      answer(response, 504, { status: 504, error: "Gateway Timeout", path: "/check" });
    });
    assert.equal(await new Holdfast(url).check("x"), true);
    await assert.rejects(new Holdfast([url, url]).force("x"), { code: "unavailable", outcomeUnknown: true });
    assert.equal(count, 3);
  });

  test("a path and headers go with every request", async (t) => {
    const url = await pretend(t, ({ url, headers }, response) => {
      answer(response, 200, { path: url, secret: headers.secret, holders: [] });
    });
    const holdfast = new Holdfast(`${url.slice("http://".length)}/locks-of/us`, { headers: { secret: "s" } });
    assert.deepEqual(await holdfast.get("a/b"), { path: "/locks-of/us/locks/a%2Fb", secret: "s", holders: [] });
  });

  test("a wrong url is named", () => {
    for (const url of ["ftp://host", "http://host/?a=b", "http://me:secret@host", "http://", "a b"]) {
      assert.throws(() => new Holdfast(url), { name: "TypeError", message: /^server "/ });
    }
    for (const url of ["https://u:secret@h", "redis://:secret@h", "u:secret@h:port", "https://u:secret/more@h"]) {
      assert.throws(() => new Holdfast(url), ({ message, cause }) => message.includes("…@h") && !message.includes("secret") && !cause);
    }
    assert.throws(() => new Holdfast([]), TypeError);
  });
});
