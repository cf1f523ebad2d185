// What each call gives, against a real server.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Holdfast, HoldfastError } from "holdfast-client";
import { relay } from "../dist/relay.js";
import { inLine, newToken, serve, until } from "./server.js";

async function connect(t) {
  return new Holdfast((await serve(t)).url);
}

suite("calls", { timeout: 120_000 }, () => {
  test("lock gives tokens in the order asked, or nothing and who is in the way", async (t) => {
    const holdfast = await connect(t);
    const keys = ["b", { key: "a", mode: "shared", limit: 2 }];
    const grant = await holdfast.lock(keys, { exp: 60_000, note: "nightly" });
    assert.deepEqual(grant.tokens.map(({ key }) => key), ["b", "a"]);
    assert.equal(grant.tokens[0].version, grant.tokens[1].version);
    assert.ok(grant.exp > 0 && grant.exp <= 60_000);

    const error = await holdfast.lock(["c", "b"], { uid: "other" }).catch((error) => error);
    assert.ok(error instanceof HoldfastError);
    assert.equal(error.code, "locked");
    assert.match(error.message, /"b"/);
    const [{ exp, ...blocker }] = error.blockers;
    const version = grant.tokens[0].version;
    const { uid } = grant;
    assert.deepEqual(blocker, { key: "b", uid, version, mode: "exclusive", note: "nightly", waiting: false });
    assert.ok(exp > 0);
    assert.equal(await holdfast.check("c"), false);
    assert.equal(await holdfast.check(["c", "b"]), true);
  });

  test("each lock has an owner of its own unless it is told one", async (t) => {
    const holdfast = await connect(t);
    await holdfast.lock("x", { exp: 60_000, uid: "me" });
    await holdfast.lock("x", { exp: 60_000, uid: "me" });
    await assert.rejects(holdfast.lock("x"), { code: "locked" });
  });

  test("a waiter is granted when the hold before it ends", async (t) => {
    const holdfast = await connect(t);
    const first = await holdfast.lock("x", { exp: 60_000 });
    const second = holdfast.lock("x", { wait: 60_000 });
    await inLine(holdfast, "x", 1);
    assert.deepEqual(await holdfast.unlock(first), ["x"]);
    assert.ok((await second).tokens[0].version > first.tokens[0].version);
  });

  test("one who waited in vain learns who was in the way", async (t) => {
    const holdfast = await connect(t);
    await holdfast.lock("x", { uid: "holder", exp: 60_000 });
    await assert.rejects(holdfast.lock("x", { wait: 20 }), ({ code, blockers }) => {
      return code === "locked" && blockers[0].uid === "holder";
    });
  });

  test("a wait that is too long is refused, also by a server that is not near", async () => {
    const far = async (url, { signal }) => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      signal.throwIfAborted();
      return new Response('{"error":"invalid","message":"wait"}', { status: 400 });
    };
    const holdfast = new Holdfast("http://pretended", { patience: 0, fetch: far });
    for (const wait of [2 ** 31, Infinity]) {
      await assert.rejects(holdfast.lock("x", { wait }), { code: "invalid" });
      await assert.rejects(holdfast.hold("x", { wait }), { code: "invalid" });
    }
  });

  test("aborting takes a waiter out of the line", async (t) => {
    const holdfast = await connect(t);
    await holdfast.lock("x", { exp: 60_000 });
    for (const call of [
      (signal) => holdfast.lock("x", { uid: "waiter", wait: 60_000, signal }),
      (signal) => holdfast.withLock("x", { signal }, () => assert.fail("it was not granted")),
    ]) {
      const controller = new AbortController();
      const waiting = call(controller.signal);
      await inLine(holdfast, "x", 1);
      controller.abort(new Error("enough"));
      await assert.rejects(waiting, { message: "enough" });
      await inLine(holdfast, "x", 0);
    }
  });

  test("a grant that comes as the client leaves is given back", async (t) => {
    const { url } = await serve(t);
    const controller = new AbortController();
    const late = async (input, { signal, ...init }) => {
      const response = await fetch(input, init);
      if (!controller.signal.aborted) controller.abort(new Error("enough"));
      signal.throwIfAborted();
      return response;
    };
    const leaving = new Holdfast(url, { fetch: late });
    await assert.rejects(leaving.lock("x", { exp: 3_600_000, signal: controller.signal }), { message: "enough" });
    const holdfast = new Holdfast(url);
    await until(async () => !(await holdfast.check("x")));
  });

  test("any number of calls can share a signal", async (t) => {
    const holdfast = await connect(t);
    await holdfast.lock("x", { exp: 60_000 });
    const warnings = [];
    const warned = (warning) => warnings.push(warning.message);
    process.on("warning", warned);
    t.after(() => process.off("warning", warned));
    const controller = new AbortController();
    const { signal } = controller;
    const holds = await Promise.all(Array.from({ length: 15 }, (_, i) => holdfast.hold(`own ${i}`, { signal })));
    const waiting = Array.from({ length: 15 }, () => holdfast.lock("x", { wait: 60_000, signal }));
    await inLine(holdfast, "x", 15);
    controller.abort(new Error("enough"));
    for (const call of waiting) await assert.rejects(call, { message: "enough" });
    for (const hold of holds) {
      assert.equal(hold.signal.reason.message, "enough");
      await hold.unlock();
    }
    await inLine(holdfast, "x", 0);
    assert.deepEqual(warnings, []);
  });

  test("a signal that is aborted already lets nothing be sent", async () => {
    const holdfast = new Holdfast("http://localhost:1", { fetch: () => assert.fail("it was sent") });
    const signal = AbortSignal.abort(new Error("enough"));
    const token = { key: "x", version: 1 };
    for (const call of [
      holdfast.lock("x", { signal }),
      holdfast.unlock({ uid: "me", tokens: [token] }, { signal }),
      holdfast.check("x", { signal }),
      holdfast.extend({ uid: "me" }, { signal }),
      holdfast.list({ signal }),
      holdfast.get("x", { signal }),
      holdfast.force("x", { signal }),
      holdfast.hold("x", { signal }),
    ]) {
      await assert.rejects(call, { message: "enough" });
    }
  });

  test("a place in line outlives the request", async (t) => {
    const holdfast = await connect(t);
    const first = await holdfast.lock("x", { exp: 60_000 });
    const began = Array.from({ length: 3 }, withResolvers);
    let count = 0;
    const second = relay(
      (signal) => {
        began[count++]?.resolve();
        return holdfast.lock("x", { uid: "second", wait: 60_000, exp: 60_000, signal });
      },
      { every: 1000, overlap: 900 },
    );
    await inLine(holdfast, "x", 1);
    const third = holdfast.lock("x", { uid: "third", wait: 60_000, exp: 3_600_000 });
    await inLine(holdfast, "x", 2);
    await began[2].promise; // the first request has ended
    await holdfast.unlock(first);
    const grant = await second;
    assert.equal((await holdfast.get("x")).holders[0].uid, "second");
    await holdfast.unlock({ uid: "second", ...grant });
    await third;
  });

  test("who stands in line stays there when the next request is refused", async () => {
    const ended = [];
    const first = withResolvers();
    let count = 0;
    const waiting = relay(
      (signal) => {
        const index = count++;
        signal.addEventListener("abort", () => ended.push(index));
        if (index === 0) return first.promise;
        if (index === 3) first.resolve("granted");
        return Promise.reject(new HoldfastError("limit", "too many are under way"));
      },
      { every: 100, overlap: 50 },
    );
    assert.equal(await waiting, "granted");
    assert.deepEqual(ended, [0]); // only when it was over
    // Who does not stand in line is refused.
    const refused = relay(() => Promise.reject(new HoldfastError("limit", "")), { every: 100, overlap: 50 });
    await assert.rejects(refused, { code: "limit" });
    // And so is who does not stand there any more.
    const last = withResolvers();
    count = 0;
    const both = relay(
      () => {
        if (count++ === 0) return last.promise;
        setTimeout(() => last.reject(new Error("the last")));
        return Promise.reject(new Error("the next"));
      },
      { every: 100, overlap: 50 },
    );
    await assert.rejects(both, { message: "the last" });
  });

  test("the end of a relay ends its requests", async () => {
    const controller = new AbortController();
    const ended = withResolvers();
    const waiting = relay(
      (signal) => {
        signal.addEventListener("abort", () => ended.reject(signal.reason));
        return ended.promise;
      },
      { every: 60_000, overlap: 10_000, signal: controller.signal },
    );
    controller.abort(new Error("enough"));
    await assert.rejects(waiting, { message: "enough" });
  });

  test("extend lengthens what is held and says what is lost", async (t) => {
    const holdfast = await connect(t);
    const grant = await holdfast.lock(["x", "y"], { exp: 10_000 });
    const stale = { key: "y", version: grant.tokens[1].version - 1 };
    const tokens = [grant.tokens[0], stale];
    const extension = await holdfast.extend({ uid: grant.uid, tokens }, { exp: 60_000 });
    assert.deepEqual(extension.tokens, [grant.tokens[0]]);
    assert.deepEqual(extension.lost, [stale]);
    assert.ok(extension.exp > 10_000);
    assert.deepEqual((await holdfast.extend({ uid: grant.uid }, { exp: 60_000 })).tokens, grant.tokens);
  });

  test("unlock is exact", async (t) => {
    const holdfast = await connect(t);
    const { uid, tokens } = await holdfast.lock(["x", "y"], { exp: 60_000 });
    const [{ key, version }] = tokens;
    assert.deepEqual(await holdfast.unlock({ uid: "other", tokens }), []);
    assert.deepEqual(await holdfast.unlock({ uid, tokens: [{ key, version: version + 1 }] }), []);
    assert.deepEqual(await holdfast.unlock({ uid, tokens: [] }), []);
    assert.deepEqual(await holdfast.unlock({ uid, tokens: [tokens[0]] }), ["x"]);
    assert.deepEqual(await holdfast.unlock({ uid, tokens }), ["y"]);
    assert.deepEqual(await holdfast.unlock({ uid, tokens }), []);
  });

  test("a request that would wait for ever is refused with the circle", async (t) => {
    const holdfast = await connect(t);
    await holdfast.lock("x", { uid: "a", exp: 60_000 });
    const y = await holdfast.lock("y", { uid: "b", exp: 60_000 });
    const waiting = holdfast.lock("y", { uid: "a", wait: 60_000 });
    await inLine(holdfast, "y", 1);
    await assert.rejects(holdfast.lock("x", { uid: "b", wait: 60_000 }), ({ code, cycle }) => {
      assert.equal(code, "deadlock");
      assert.deepEqual(new Set(cycle.map(({ uid, key }) => `${uid} ${key}`)), new Set(["a y", "b x"]));
      return true;
    });
    await holdfast.unlock(y);
    await waiting;
  });

  test("what this client does not know, the server refuses by name", async (t) => {
    const holdfast = await connect(t);
    const refused = { name: "HoldfastError", code: "invalid", message: /expp/ };
    const work = () => assert.fail("it was not granted");
    await assert.rejects(holdfast.lock("x", { expp: 1 }), refused);
    await assert.rejects(holdfast.withLock("x", { expp: 1 }, work), refused);
    await assert.rejects(holdfast.extend({ uid: "me" }, { expp: 1 }), refused);
    await assert.rejects(holdfast.unlock({ uid: "me", tokens: [{ key: "x", version: 1 }] }, { expp: 1 }), refused);
    await assert.rejects(holdfast.check("x", { expp: 1 }), refused);
    await assert.rejects(holdfast.list({ expp: 1 }), refused);
    await assert.rejects(holdfast.force("x", { expp: 1 }), refused);
    await assert.rejects(holdfast.lock("x", { exp: "soon" }), { code: "invalid", message: /exp/ });
    await assert.rejects(holdfast.hold("x", { wait: -1 }), { code: "invalid", message: /wait/ });
  });

  test("list, get and force take every key", async (t) => {
    const holdfast = await connect(t);
    const keys = ["..", "a b", "a%2Fb", "a//b?c#d", "é+&=", "."];
    await holdfast.lock(keys, { uid: "me", exp: 60_000 });
    for (const key of keys) {
      const { holders, waiters, ...lock } = await holdfast.get(key);
      assert.deepEqual([lock, holders[0].uid, waiters], [{ key }, "me", []]);
    }
    assert.deepEqual(await holdfast.get("other"), { key: "other", holders: [], waiters: [] });
    const page = await holdfast.list({ prefix: "a", limit: 2 });
    assert.deepEqual(page.locks.map(({ key }) => key), ["a b", "a%2Fb"]);
    const rest = await holdfast.list({ prefix: "a", after: page.next });
    assert.deepEqual([rest.locks.map(({ key }) => key), rest.next], [["a//b?c#d"], undefined]);
    assert.deepEqual((await holdfast.list({ uid: "other" })).locks, []);

    const [released] = await holdfast.force("a//b?c#d", { reason: "a test" });
    assert.deepEqual([released.key, released.uid], ["a//b?c#d", "me"]);
    assert.equal(await holdfast.check("a//b?c#d"), false);
    for (const key of ["..", "."]) {
      assert.deepEqual((await holdfast.force(key, { reason: "a test" })).map((released) => released.key), [key]);
    }
    assert.deepEqual((await holdfast.list({ waited: true })).locks, []);
    await assert.rejects(holdfast.get("\ud800"), { code: "invalid" });
    await assert.rejects(holdfast.get(""), { code: "invalid" });
    assert.equal(await holdfast.check(".."), false);
  });

  test("a token says who asks", async (t) => {
    const { token, file } = newToken(t, "mine/=lock,check");
    const { url } = await serve(t, "--auth-file", file);
    const holdfast = new Holdfast(url, { token });
    assert.equal(await holdfast.withLock("mine/x", {}, () => holdfast.check("mine/x")), true);
    await assert.rejects(holdfast.lock("yours/x"), { code: "forbidden" });
    for (const other of [undefined, "", `${token}x`]) {
      await assert.rejects(new Holdfast(url, { token: other }).check("mine/x"), { code: "unauthenticated" });
    }
    for (const other of [`${token}\n`, `${token} `, `é${token}`]) {
      assert.throws(
        () => new Holdfast(url, { token: other }),
        ({ name, message }) => name === "TypeError" && message.startsWith("token: ") && !message.includes(token),
      );
    }
  });
});

function withResolvers() {
  const resolvers = {};
  resolvers.promise = new Promise((resolve, reject) => Object.assign(resolvers, { resolve, reject }));
  return resolvers;
}
