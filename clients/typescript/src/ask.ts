import { onAbort } from "./abort.js";
import { now, pause, since, type Instant } from "./clock.js";
import { HoldfastError, type Code } from "./error.js";

/** How long a server may take, beside the time for which it was asked to wait, before it counts as away. */
export const answerWithin = 5_000;

/** Longer than an attempt can take at a server that says nothing, if it was not asked to wait. */
const longestSilence = 2 * answerWithin;

// The pause between two rounds over all servers begins with firstPause and doubles up to longestPause.
const firstPause = 25;
const longestPause = 2_000;

/** No timer waits for longer: one that is told to does not wait at all. */
const longestTimer = 2 ** 31 - 1;

/** What one of the methods asks. */
export interface Call {
  method: "GET" | "POST" | "DELETE";
  /** Below the URL of the server, percent-encoded. */
  path: string;
  /** A field that its answer has. */
  has: "tokens" | "unlocked" | "locked" | "locks" | "holders" | "released";
  /** What to send now. With `wait`, the server may take that much longer to answer. */
  body?: () => { wait?: number };
  signal?: AbortSignal | undefined;
  /** It gives keys back, which otherwise stay locked: a server that is at a limit is asked again. */
  gives?: boolean;
  /** Not to be sent again when it may have happened. */
  once?: boolean;
  /** How long one server may take, if that is not answerWithin. */
  limit?: number;
  /** For how long to go on asking, if that is not the client's own patience; 0 means that each server is asked once. */
  patience?: number;
}

export interface Answer<T> {
  body: T;
  /** When the request that was answered was sent, or a little before that. */
  sent: Instant;
  /** No attempt before may have done what was asked. */
  first: boolean;
}

export interface AskerOptions {
  patience: number;
  headers: Record<string, string>;
  fetch: typeof fetch;
}

/** What a server has answered. */
interface Heard {
  response: Response;
  text: string;
}

/** Why an attempt gave no answer. */
class Trouble {
  constructor(
    readonly error: HoldfastError,
    /** Another attempt may do better. */
    readonly again: boolean,
  ) {}
}

/** Puts calls to servers that share one state. */
export class Asker {
  readonly #servers: readonly URL[];
  readonly #options: AskerOptions;
  readonly #heard: Instant[] = []; // when each server answered last
  #current = 0; // the one to ask: it answered last

  constructor(servers: readonly URL[], options: AskerOptions) {
    this.#servers = servers;
    this.#options = options;
  }

  /**
   * Asks one server after the other until one answers, and pauses after each round. A refusal is an answer, save for
   * `unavailable`, and for `limit` when keys are given back.
   */
  async ask<T>(call: Call): Promise<Answer<T>> {
    const { signal, patience = this.#options.patience } = call;
    let began = now(); // the first attempt since somebody served
    let rest = 0;
    let after = Infinity; // when the first server that says so wants to be asked again, in this round
    let unknown = false; // an attempt may have done what was asked
    for (let count = 1; ; count++) {
      signal?.throwIfAborted();
      const index = this.#current;
      const sent = now();
      const result = await this.#attempt<T>(index, call);
      if (!(result instanceof Trouble)) return { body: result.body, sent, first: !unknown };
      const { error } = result;
      const again = result.again || (call.gives === true && error.code === "limit");
      if (again && this.#current === index) this.#current = (index + 1) % this.#servers.length;
      // Who stood in line for long was served until just now.
      if (since(sent) > Math.max(patience, longestSilence) && patience > 0) [began, rest] = [now(), 0];
      unknown ||= error.outcomeUnknown;
      if (!again || (call.once && error.outcomeUnknown)) throw verdict(error, unknown);
      after = Math.min(after, error.retryAfter ?? Infinity);
      if (count % this.#servers.length !== 0) continue;

      // The jitter is there so that those who were sent away together do not come back together.
      rest = Math.min(Math.max(firstPause, 2 * rest), longestPause);
      const ms = Math.max(rest / 2, after < Infinity ? after : 0) + (Math.random() * rest) / 2;
      after = Infinity;
      if (since(began) + ms > patience) throw verdict(error, unknown);
      await pause(ms, signal);
    }
  }

  /** Puts the call to one server, once. */
  async #attempt<T>(index: number, call: Call): Promise<{ body: T } | Trouble> {
    // One that hangs would otherwise be taken for one at which the call stands in line.
    const heard = this.#heard[index];
    if ((call.body?.().wait ?? 0) > answerWithin && !(heard && since(heard) <= answerWithin)) {
      const pong = await this.#send(index, { method: "GET", path: "ping", signal: call.signal });
      if (pong instanceof Trouble) {
        const { message, cause } = pong.error;
        return new Trouble(new HoldfastError("unavailable", message, { cause }), true); // the call itself was not sent
      }
    }
    const answer = await this.#send(index, call);
    return answer instanceof Trouble ? answer : read<T>(this.#servers[index]!, answer, call.has);
  }

  async #send(index: number, call: Omit<Call, "has">): Promise<Heard | Trouble> {
    const server = this.#servers[index]!;
    const { signal } = call;
    const body = call.body?.();
    const ending = new AbortController();
    const forget = onAbort(signal, () => ending.abort(signal?.reason));
    const limit = Math.min((call.limit ?? answerWithin) + (body?.wait ?? 0), longestTimer);
    const timer = setTimeout(() => ending.abort(new Error(`no answer within ${Math.round(limit)} ms`)), limit);
    try {
      const { fetch, headers } = this.#options;
      const response = await fetch(new URL(call.path, server), {
        method: call.method,
        headers: body ? { "content-type": "application/json", ...headers } : headers,
        body: body ? JSON.stringify(body) : null,
        signal: ending.signal,
        cache: "no-store",
        redirect: "manual",
      });
      this.#heard[index] = now();
      return { response, text: await response.text() };
    } catch (cause) {
      if (signal?.aborted) throw signal.reason;
      return away(server, cause);
    } finally {
      clearTimeout(timer);
      forget();
    }
  }
}

/** Refusals of a server that may not have looked at what is held. */
const notLooked: readonly Code[] = ["unavailable", "limit", "unauthenticated", "forbidden"];

/** The error to throw in the end. Any other refusal says what is the case, whatever was unclear before. */
function verdict(last: HoldfastError, unknown: boolean): HoldfastError {
  if (!notLooked.includes(last.code) || !unknown || last.outcomeUnknown) return last;
  const { code, message, retryAfter, cause } = last;
  return new HoldfastError(code, message, { retryAfter, cause, outcomeUnknown: true });
}

/** The trouble with a server that gave no answer. */
function away(server: URL, cause: unknown): Trouble {
  const message = `${server.host} does not answer: ${reasons(cause)}`;
  return new Trouble(new HoldfastError("unavailable", message, { cause, outcomeUnknown: !neverSent(cause) }), true);
}

/** What fetch says, and what Node has to say beyond that. */
function reasons(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const said = cause.message || (cause as { code?: string }).code || cause.name;
  return cause.cause === undefined ? said : `${said}: ${reasons(cause.cause)}`;
}

/** Whose connection was never made has not heard the request. Only Node tells; in a browser it is never certain. */
function neverSent(cause: unknown): boolean {
  const inner = cause instanceof Error ? (cause.cause as { code?: unknown; syscall?: unknown } | undefined) : undefined;
  const codes = ["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"];
  return inner?.syscall === "connect" || codes.includes(String(inner?.code));
}

/**
 * Reads an answer. If it is not one of a lock service, a proxy may have written it while the server is away. Other
 * services write JSON as well: what is taken for a grant must be one.
 */
function read<T>(server: URL, { response, text }: Heard, has: Call["has"]): { body: T } | Trouble {
  let body: Record<string, unknown> = {};
  try {
    body = Object(JSON.parse(text));
  } catch {
    // As if there was nothing in it.
  }
  const { status } = response;
  if (status === 200 && (Array.isArray(body[has]) || typeof body[has] === "boolean")) return { body: body as T };
  const failed = status >= 500;
  const seconds = Number(response.headers.get("retry-after") ?? NaN);
  const retryAfter = seconds > 0 && seconds < 2 ** 30 ? seconds * 1000 : undefined;
  const refused = typeof body["error"] === "string" && (failed ? body["error"] === "unavailable" : status >= 400);
  if (!refused) {
    const message = `${server.host}: the answer, status ${status}, is not that of a lock service`;
    const outcomeUnknown = failed || status === 200;
    return new Trouble(new HoldfastError("unavailable", message, { retryAfter, outcomeUnknown }), failed);
  }
  const { error, message, blockers, cycle, outcome } = body as any;
  return new Trouble(
    new HoldfastError(error, String(message), { blockers, cycle, retryAfter, outcomeUnknown: outcome === "unknown" }),
    failed,
  );
}
