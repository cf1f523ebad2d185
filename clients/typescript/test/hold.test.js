// What is extended in the background: a hold never outlives its signal.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mock, suite, test } from "node:test";
import { Holdfast } from "holdfast-client";
import { inLine, serve, until } from "./server.js";

/** A fetch that notes when the last request was sent that got a good answer. */
function noting() {
  const note = { sent: undefined };
  note.fetch = async (input, init) => {
    const sent = performance.now();
    const response = await fetch(input, init);
    if (response.ok) note.sent = sent;
    return response;
  };
  return note;
}

/** Keeps this thread from running anything for so many ms. */
function block(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

suite("holds", { timeout: 120_000 }, () => {
  test("withLock lets one in at a time", async (t) => {
    const { url } = await serve(t);
    let [count, inside, most] = [0, 0, 0];
    const increment = async () => {
      most = Math.max(most, ++inside);
      const seen = count;
      await new Promise(setImmediate);
      count = seen + 1;
      inside--;
      return count;
    };
    const all = await Promise.all(
      Array.from({ length: 20 }, (_, i) => new Holdfast(url).withLock("x", { note: `no. ${i}` }, increment)),
    );
    assert.deepEqual([count, inside, most], [20, 0, 1]);
    assert.equal(new Set(all).size, 20);
  });

  test("what a hold that was given up gives back is not the next one of the same owner", async () => {
    const stop = new AbortController();
    let [version, last] = [0, 0]; // what is held; the last one granted
    const holdfast = new Holdfast("http://pretended", {
      fetch: async (url, init) => {
        if (url.pathname === "/ping") return new Response("pong");
        const body = JSON.parse(init.body);
        const answer = (body) => ({ status: 200, headers: new Headers(), text: async () => (stop.abort(), JSON.stringify(body)) });
        if (url.pathname === "/lock") {
          version ||= ++last; // asking again gives the same hold
          return answer({ tokens: [{ key: "x", version }], exp: 10_000 });
        }
        await new Promise((resolve) => setTimeout(resolve, 20)); // a lock is faster
        if (url.pathname === "/unlock" && body.tokens[0].version === version) version = 0;
        return answer({ unlocked: ["x"], tokens: body.tokens, lost: [], exp: 10_000 });
      },
    });
    await assert.rejects(holdfast.hold("x", { uid: "u", signal: stop.signal }), { name: "AbortError" });
    const hold = await holdfast.hold("x", { uid: "u" });
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(hold.token("x").version, version);
    await hold.unlock();
  });

  test("withLock shows tokens, and unlocks whatever happens", async (t) => {
    const holdfast = new Holdfast((await serve(t)).url);
    let inner;
    const result = await holdfast.withLock(["x", "y"], {}, async (signal, tokens) => {
      inner = signal;
      const { locks } = await holdfast.list();
      assert.deepEqual(tokens, locks.map(({ key, holders }) => ({ key, version: holders[0].version })));
      return "done";
    });
    assert.equal(result, "done");
    assert.equal(inner.reason.code, "unlocked");
    assert.equal(await holdfast.check(["x", "y"]), false);
    const broken = () => {
      throw new Error("broken");
    };
    await assert.rejects(holdfast.withLock("x", {}, broken), { message: "broken" });
    assert.equal(await holdfast.check("x"), false);
  });

  test("a hold outlives its exp by being extended", async (t) => {
    const holdfast = new Holdfast((await serve(t)).url);
    const hold = await holdfast.hold("x", { exp: 3000 });
    await until(async () => (await holdfast.get("x")).holders[0].held > 3000);
    assert.ok(hold.held() && !hold.signal.aborted);
    assert.equal((await holdfast.get("x")).holders[0].version, hold.token("x").version);
    assert.equal(hold.token("other"), undefined);
    await Promise.all([hold.unlock(), hold.unlock()]);
    assert.deepEqual([hold.held(), hold.over.code], [false, "unlocked"]);
    assert.equal(await holdfast.check("x"), false);
    await hold.unlock();
  });

  test("one who stood in line for longer than exp holds in the end", async (t) => {
    const holdfast = new Holdfast((await serve(t)).url);
    const first = await holdfast.hold("x", { exp: 1500 });
    const waiting = holdfast.hold("x", { exp: 1500 });
    await inLine(holdfast, "x", 1);
    await until(async () => (await holdfast.get("x")).waiters[0].waited > 1500);
    await first.unlock();
    const second = await waiting;
    assert.ok(second.held());
    await second.unlock();
  });

  test("the signal fires before the hold can have ended on a server that has stopped", async (t) => {
    const { url, process } = await serve(t);
    const note = noting();
    const exp = 3000;
    const holdfast = new Holdfast(url, { fetch: note.fetch });
    let after; // ms from the last good request to the signal
    const lost = await holdfast
      .withLock("x", { exp }, async (signal) => {
        process.kill("SIGSTOP");
        await once(signal, "abort");
        after = performance.now() - note.sent;
        process.kill("SIGCONT");
        signal.throwIfAborted();
      })
      .catch((error) => error);
    assert.equal(lost.code, "lost");
    assert.ok(after < exp, `it fired ${after} ms after the last good request`);
    assert.equal(await holdfast.check("x"), false);
  });

  test("the signal looks at the clock when timers are late", async (t) => {
    const holdfast = new Holdfast((await serve(t)).url);
    const looks = {
      aborted: (hold) => hold.signal.aborted,
      reason: (hold) => hold.signal.reason?.code === "lost",
      throwIfAborted: (hold) => assert.throws(() => hold.signal.throwIfAborted(), { code: "lost" }) ?? true,
      held: (hold) => !hold.held(),
      over: (hold) => hold.over?.code === "lost",
    };
    const holds = await Promise.all(Object.keys(looks).map((key) => holdfast.hold(key, { exp: 2000 })));
    const heard = holds.map((hold) => once(hold.signal, "abort"));
    for (const hold of holds) assert.ok(hold.held() && !hold.signal.aborted);
    block(2000);
    for (const [i, look] of Object.values(looks).entries()) assert.ok(look(holds[i]), holds[i].tokens[0].key);
    await Promise.all(heard);
  });

  test("one who names no end stands in line for days", async () => {
    let days = 3; // a server lets nobody wait for longer than one at once
    const waits = [];
    const server = async ({ pathname }, { body }) => {
      if (pathname === "/ping") return new Response("pong");
      const { wait, tokens } = JSON.parse(body);
      if (pathname !== "/lock") return new Response(JSON.stringify({ tokens, lost: [], unlocked: ["x"], exp: 10_000 }));
      waits.push(wait);
      if (--days > 0) return new Response('{"error":"locked","message":"x","blockers":[]}', { status: 409 });
      return new Response('{"tokens":[{"key":"x","version":1}],"exp":10000}');
    };
    const holdfast = new Holdfast("http://pretended", { fetch: server });
    const hold = await holdfast.hold("x");
    await hold.unlock();
    assert.equal(waits.length, 3);
    assert.ok(waits.every((wait) => wait > 86_000_000));
    days = 3;
    await assert.rejects(holdfast.hold("x", { wait: 86_400_000 }), { code: "locked" });
    assert.equal(days, 2);
  });

  test("a hold that has run out before it is known is not one", async () => {
    const exp = 600;
    const token = { key: "x", version: 1 };
    const unlocked = [];
    const slow = async ({ pathname }, { body }) => {
      if (pathname === "/unlock") unlocked.push(...JSON.parse(body).tokens);
      // In line for longer than a third of exp, and then a server that takes more than nine tenths to answer.
      await new Promise((resolve) => setTimeout(resolve, pathname === "/unlock" ? 0 : pathname === "/lock" ? exp / 2 : exp));
      return new Response(JSON.stringify({ tokens: [token], lost: [], unlocked: ["x"], exp }));
    };
    const holdfast = new Holdfast("http://pretended", { fetch: slow });
    let worked = false;
    await assert.rejects(holdfast.withLock("x", { exp }, () => (worked = true)), { code: "lost" });
    assert.ok(!worked);
    await until(() => unlocked.length > 0);
    assert.deepEqual(unlocked, [token]);
  });

  test("withLock tells of a loss that work did not notice", async (t) => {
    const holdfast = new Holdfast((await serve(t)).url);
    await assert.rejects(holdfast.withLock("x", { exp: 500 }, () => block(500)), { code: "lost" });
    const broken = () => {
      block(500);
      throw new Error("broken");
    };
    await assert.rejects(holdfast.withLock("x", { exp: 500 }, broken), ({ code, cause }) => {
      return code === "lost" && cause.message === "broken";
    });
  });

  test("the unlock shows that a key was released by force", async (t) => {
    const holdfast = new Holdfast((await serve(t)).url);
    const robbed = () => holdfast.force("y");
    await assert.rejects(holdfast.withLock(["x", "y"], { exp: 60_000 }, robbed), ({ code, message }) => {
      return code === "lost" && message.includes('"y"');
    });
    const broken = async () => {
      await robbed();
      throw new Error("broken");
    };
    await assert.rejects(holdfast.withLock("y", { exp: 60_000 }, broken), ({ code, cause }) => {
      return code === "lost" && cause.message === "broken";
    });
    const hold = await holdfast.hold("y", { exp: 60_000 });
    await robbed();
    assert.ok(hold.held()); // as far as is known
    await hold.unlock();
    assert.equal(hold.over.code, "lost");
  });

  test("an unlock whose answer was lost shows nothing", async (t) => {
    let lost = 0;
    const losing = async (input, init) => {
      const response = await fetch(input, init);
      if (!String(input).endsWith("/unlock") || lost++ > 0) return response;
      throw new TypeError("fetch failed");
    };
    const holdfast = new Holdfast((await serve(t)).url, { fetch: losing });
    assert.equal(await holdfast.withLock("x", { exp: 60_000 }, () => "done"), "done");
    assert.equal(lost, 2);

    // Nor does one that is called again after it had failed.
    lost = 0;
    const impatient = new Holdfast((await serve(t)).url, { patience: 0, fetch: losing });
    const hold = await impatient.hold("x", { exp: 60_000 });
    await assert.rejects(hold.unlock(), { code: "unavailable" });
    await hold.unlock();
    assert.equal(hold.over.code, "unlocked");
  });

  test("a machine that was suspended has lost its holds", async (t) => {
    const holdfast = new Holdfast((await serve(t)).url);
    const hold = await holdfast.hold("x", { exp: 60_000 });
    assert.ok(hold.held());
    const left = hold.left();
    assert.ok(left > 0 && left <= 54_000, `${left}`);
    const real = Date.now;
    const asleep = mock.method(Date, "now", () => real() + 60_000);
    assert.equal(hold.left(), 0);
    asleep.mock.restore();
    assert.deepEqual([hold.left(), hold.held()], [0, false]);
    await hold.unlock();
  });

  test("the signal fires when the hold was released by force", async (t) => {
    const holdfast = new Holdfast((await serve(t)).url);
    const hold = await holdfast.hold(["x", "y"], { exp: 3000 });
    await holdfast.force("y");
    if (!hold.signal.aborted) await once(hold.signal, "abort");
    assert.equal(hold.over.code, "lost");
    assert.match(hold.over.message, /"y"/);
    await hold.unlock();
    assert.equal(await holdfast.check("x"), false);
  });

  test("the caller's signal ends the one of the hold, which is then given back", async (t) => {
    const holdfast = new Holdfast((await serve(t)).url);
    const controller = new AbortController();
    const working = holdfast.withLock("x", { signal: controller.signal }, async (signal) => {
      controller.abort(new Error("enough"));
      assert.ok(await holdfast.check("x"));
      signal.throwIfAborted();
    });
    await assert.rejects(working, { message: "enough" });
    assert.equal(await holdfast.check("x"), false);
  });

  test("an unlock that failed can be called again", async (t) => {
    let broken = false;
    const failing = (input, init) => (broken ? Promise.reject(new TypeError("fetch failed")) : fetch(input, init));
    const holdfast = new Holdfast((await serve(t)).url, { patience: 0, fetch: failing });
    const hold = await holdfast.hold("x", { exp: 60_000 });
    broken = true;
    await assert.rejects(hold.unlock(), { code: "unavailable" });
    assert.ok(!hold.held());
    broken = false;
    assert.ok(await holdfast.check("x"));
    await hold.unlock();
    assert.equal(await holdfast.check("x"), false);
  });
});
