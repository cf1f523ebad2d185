import { Asker, type Answer, type Call } from "./ask.js";
import { now, since } from "./clock.js";
import { HoldfastError } from "./error.js";
import { Hold, takeHold } from "./hold.js";
import { relay } from "./relay.js";
import type {
  CallOptions,
  Extension,
  Grant,
  HoldOptions,
  Keys,
  ListOptions,
  Lock,
  LockOptions,
  Page,
  Released,
  Token,
} from "./types.js";
import { newUID } from "./uid.js";

/** Outlasts the restart of a server and the election of a leader. */
const defaultPatience = 15_000;

/** How long to try to put in order what nobody waits for any more. */
const tidyWithin = 5_000;

/** Node and browsers give up on an answer after 300 s. One request stands in line for less than that. */
const standing = { every: 240_000, overlap: 10_000 };

/** What a client can be told beside its servers. */
export interface HoldfastOptions {
  /** For how many ms to go on asking while no server can serve; 15 s by default. With 0 each server is asked once. */
  patience?: number | undefined;
  /**
   * What the servers know this client by, if they want to know: a token that `holdfast token new` has made. It goes to
   * all of them, so their URLs should begin with https://. An empty one is none.
   */
  token?: string | undefined;
  /** Sent with every request. */
  headers?: Record<string, string> | undefined;
  /** Carries the requests, instead of the global one. */
  fetch?: typeof fetch | undefined;
}

/**
 * Asks one of several servers that share one state. It begins with the one that answered last, goes over to the next
 * when one is away, and asks again, after a pause, as long as its patience lasts and asking again is harmless.
 *
 * Every call rejects with a {@link HoldfastError}, or with the reason of the signal that it was given. Options that
 * this client does not know are sent as they are: a misspelt one is refused by the server, not ignored.
 */
export class Holdfast {
  readonly #asker: Asker;

  /** Sends nothing: a server need not be there yet. */
  constructor(urls: string | URL | readonly (string | URL)[] = "http://localhost:3000", options: HoldfastOptions = {}) {
    const servers = (typeof urls === "string" || urls instanceof URL ? [urls] : urls).map(parse);
    if (servers.length === 0) throw new TypeError("at least one server is needed");
    this.#asker = new Asker(servers, {
      patience: options.patience ?? defaultPatience,
      headers: { ...options.headers, ...authorization(options.token) },
      fetch: options.fetch ?? ((input, init) => fetch(input, init)),
    });
  }

  /**
   * Locks all keys, or none. Without `wait` it is refused at once, with `locked`, if others hold a key or stand in line
   * for it. Asking again with the same uid extends what it holds already, and gives the same versions.
   *
   * When the signal is aborted, the connection is closed, and the server takes the request out of the line. If it was
   * granted in that very moment, a request without a uid of its own is given back; one with a uid is left to its exp,
   * since the same owner may have asked before.
   */
  async lock(keys: Keys, options: LockOptions = {}): Promise<Grant> {
    return (await this.#lock(keys, options)).body;
  }

  async #lock(keys: Keys, options: LockOptions): Promise<Answer<Grant>> {
    const { signal, ...fields } = options;
    const uid = options.uid ?? newUID();
    const wait = Number(options.wait) || 0;
    const began = now();
    const body = () => ({
      ...fields,
      uid,
      keys,
      ...(wait > 0 && { wait: Math.max(0, Math.ceil(wait - since(began))) }),
    });
    const ask = (signal?: AbortSignal) =>
      this.#asker.ask<Omit<Grant, "uid">>({ method: "POST", path: "lock", has: "tokens", body, signal });
    signal?.throwIfAborted(); // so that from here on something may have been sent
    try {
      const answer = await (wait > standing.every ? relay(ask, { ...standing, signal }) : ask(signal));
      return { ...answer, body: { uid, ...answer.body } };
    } catch (error) {
      const unknown = signal?.aborted || (error instanceof HoldfastError && error.outcomeUnknown);
      if (unknown && options.uid === undefined) void this.#giveUp(uid);
      throw error;
    }
  }

  /** Gives back all that a uid holds, if that can be done now; otherwise its exp does it. */
  async #giveUp(uid: string): Promise<void> {
    const signal = AbortSignal.timeout(tidyWithin);
    try {
      const { locks } = await this.list({ uid, limit: 1000, signal });
      const tokens = locks.flatMap(({ key, holders }) =>
        holders.filter((holder) => holder.uid === uid).map(({ version }) => ({ key, version })),
      );
      await this.unlock({ uid, tokens }, { signal });
    } catch {
      // Its exp does it.
    }
  }

  /**
   * Gives holds back, and says which keys this call released. Only the same uid, key and version releases; anything
   * else is ignored. If an answer was lost on the way, the keys that it named are missing in the one that came.
   */
  async unlock(
    grant: { uid: string; tokens: readonly Token[] },
    options: CallOptions = {},
  ): Promise<string[]> {
    if (grant.tokens.length === 0) return []; // a server takes it for a mistake
    return (await this.#unlock(grant, options)).body.unlocked;
  }

  #unlock(
    { uid, tokens }: { uid: string; tokens: readonly Token[] },
    { signal, ...fields }: CallOptions,
  ): Promise<Answer<{ unlocked: string[] }>> {
    const body: object = { ...fields, uid, tokens };
    return this.#asker.ask({ method: "POST", path: "unlock", has: "unlocked", body: () => body, signal, gives: true });
  }

  /** Says whether at least one of the keys is held by anybody. */
  async check(keys: string | readonly string[], { signal, ...fields }: CallOptions = {}): Promise<boolean> {
    return (await this.#post<{ locked: boolean }>("check", "locked", { ...fields, keys }, signal)).locked;
  }

  /**
   * Starts the life of holds anew, never shortening it. Without tokens it is everything that the uid holds. What is
   * gone is no error: it is listed in `lost`.
   */
  async extend(
    grant: { uid: string; tokens?: readonly Token[] },
    { signal, ...fields }: CallOptions & { exp?: number | undefined } = {},
  ): Promise<Extension> {
    const { uid, tokens } = grant;
    if (tokens?.length === 0) return { tokens: [], lost: [], exp: 0 }; // a server takes it for a mistake
    return this.#post("extend", "tokens", { ...fields, uid, tokens }, signal);
  }

  /** Gives one page of the keys that are held or waited for. */
  async list({ signal, ...query }: ListOptions = {}): Promise<Page> {
    return (await this.#asker.ask<Page>({ method: "GET", path: `locks${search(query)}`, has: "locks", signal })).body;
  }

  /** Gives the state of one key. */
  async get(key: string, { signal, ...query }: CallOptions = {}): Promise<Lock> {
    if (isDots(key)) {
      const { locks } = await this.list({ prefix: key, limit: 1, signal, ...query });
      return locks.find((lock) => lock.key === key) ?? { key, holders: [], waiters: [] };
    }
    const path = `locks/${segment(key)}${search(query)}`;
    return (await this.#asker.ask<Lock>({ method: "GET", path, has: "holders", signal })).body;
  }

  /**
   * Releases one key by force, whoever holds it. It is the one call that is not sent again when it may have happened:
   * by then the key can have new holders.
   */
  async force(
    key: string,
    { signal, ...query }: CallOptions & { reason?: string | undefined } = {},
  ): Promise<Released[]> {
    const path = isDots(key) ? `locks${search({ key, ...query })}` : `locks/${segment(key)}${search(query)}`;
    const call: Call = { method: "DELETE", path, has: "released", signal, once: true };
    return (await this.#asker.ask<{ released: Released[] }>(call)).body.released;
  }

  /**
   * Locks keys, standing in line for them, and keeps them by extending them each time that a third of exp has passed,
   * until they are unlocked or lost. {@link withLock} is the same with the unlocking done.
   */
  async hold(keys: Keys, options: HoldOptions = {}): Promise<Hold> {
    return takeHold(
      {
        lock: (keys, options) => this.#lock(keys, options),
        extend: (body, call) =>
          this.#asker.ask({ method: "POST", path: "extend", has: "tokens", body: () => body, ...call }),
        unlock: (held, options) => this.#unlock(held, options),
      },
      keys,
      options,
    );
  }

  /**
   * Holds keys while work runs: stands in line for them, calls work, and gives them back however it ends. The signal is
   * for all that work does: it is aborted before the hold can have run out on the server. The tokens are what to show
   * to a resource that can refuse a latecomer.
   *
   * It gives what work gives. If the hold was lost while work ran, it rejects with `lost` in any case, since somebody
   * else may have been at work as well; what work threw is then its `cause`.
   */
  async withLock<T>(
    keys: Keys,
    options: HoldOptions,
    work: (signal: AbortSignal, tokens: readonly Token[]) => Promise<T> | T,
  ): Promise<T> {
    const hold = await this.hold(keys, options);
    let done: { result: T } | { error: unknown };
    try {
      done = { result: await work(hold.signal, hold.tokens) };
    } catch (error) {
      done = { error };
    }
    // If it fails, what was done is done, and the keys are free when their exp has passed.
    await hold.unlock({ signal: AbortSignal.timeout(tidyWithin) }).catch(() => {});
    const lost = hold.over?.code === "lost" && hold.over; // as was known before, or as the unlock has shown
    if ("result" in done) {
      if (lost) throw lost;
      return done.result;
    }
    if (lost && done.error !== lost) throw new HoldfastError(lost.code, lost.message, { cause: done.error });
    throw done.error;
  }

  async #post<T>(path: string, has: Call["has"], body: object, signal: AbortSignal | undefined): Promise<T> {
    return (await this.#asker.ask<T>({ method: "POST", path, has, body: () => body, signal })).body;
  }
}

/** Reads the URL of a server. Without a scheme it is plain HTTP. */
function parse(text: string | URL): URL {
  const full = String(text).includes("://") ? String(text) : `http://${text}`;
  // Before an @ there may be a password, of which no error tells; that of URL shows all.
  const shown = String(text).replace(/^.*@/s, "…@");
  let server;
  try {
    server = new URL(full);
  } catch {
    throw new TypeError(`server "${shown}": is no URL`);
  }
  const { protocol, search, hash, username, password } = server;
  if (protocol !== "http:" && protocol !== "https:") {
    throw new TypeError(`server "${shown}": must begin with http:// or https://`);
  }
  if (search || hash || username || password) {
    throw new TypeError(`server "${shown}": must be a scheme, a host and a path, and nothing else`);
  }
  if (!server.pathname.endsWith("/")) server.pathname += "/";
  return server;
}

/** The header that shows a token. What cannot stand in one is not repeated in an error: it is a secret all the same. */
function authorization(token: string | undefined): Record<string, string> {
  if (!token) return {};
  if (/[^!-~]/.test(token)) throw new TypeError("token: has a character that no token has, such as the end of a line");
  return { authorization: `Bearer ${token}` };
}

/** Writes a key as one segment of a path. */
function segment(key: string): string {
  if (key === "") throw new HoldfastError("invalid", "keys: a key is empty");
  try {
    return encodeURIComponent(key);
  } catch (cause) {
    throw new HoldfastError("invalid", "keys: a key is not valid Unicode", { cause });
  }
}

/** Such a key cannot be one segment of a path: fetch takes it for a directory however it is written. */
function isDots(key: string): boolean {
  return key === "." || key === "..";
}

/** Writes what is set as the query of a URL. */
function search(query: object): string {
  const set = Object.entries(query).filter(([, value]) => value !== undefined);
  return set.length === 0 ? "" : `?${new URLSearchParams(set.map(([name, value]) => [name, String(value)]))}`;
}
