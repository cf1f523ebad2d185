import { onAbort } from "./abort.js";
import { answerWithin, type Answer, type Call } from "./ask.js";
import { pause, since, type Instant } from "./clock.js";
import { HoldfastError } from "./error.js";
import type { CallOptions, Extension, Grant, HoldOptions, Keys, LockOptions, Token } from "./types.js";

/** The life of a hold that is extended in the background, in ms. */
const defaultExp = 10_000;

/** The longest time to stand in line at once, in ms. */
const maxWait = 86_400_000;

// A hold is extended when a third of its exp has passed. A server may take a fifth of exp to answer and the pause after
// that lasts a thirtieth to a tenth, so that two may fail before the third must not.
const renewals = 3;
const attempts = 5;
const shortestPauses = 30;
const longestPauses = 10;

/** The last tenth of a hold's life is not used: it is the time that its owner has to stop. */
const reserve = 10;

/** The clock is looked at so often in a life, because a timer stands still while the machine is suspended. */
const looks = 9;

/** How long to try to give back what the caller cannot give back, in ms. */
const giveBackWithin = 5_000;

/** What a hold needs of a client. */
interface Client {
  lock(keys: Keys, options: LockOptions): Promise<Answer<Grant>>;
  extend(body: object, call: Pick<Call, "signal" | "limit" | "patience">): Promise<Answer<Extension>>;
  unlock(held: Pick<Hold, "uid" | "tokens">, options: CallOptions): Promise<Answer<{ unlocked: string[] }>>;
}

/**
 * Takes a hold. From the answer to a lock alone it is known since when the hold lives, unless it stood in line; then an
 * extension makes it known.
 */
export async function takeHold(client: Client, keys: Keys, options: HoldOptions): Promise<Hold> {
  const { exp = defaultExp, signal } = options;
  const { body: grant, sent } = await standInLine(client, keys, { ...options, exp });
  let lives = sent;
  try {
    if (since(sent) > exp / renewals) {
      const { uid, tokens } = grant;
      const { body, sent } = await client.extend({ uid, tokens, exp }, { signal });
      if (body.tokens.length < tokens.length) throw new HoldfastError("lost", "the hold ended before it was known");
      lives = sent;
    }
    signal?.throwIfAborted();
    const hold = new Hold(client, grant, exp, lives, signal);
    if (hold.over) throw hold.over; // the answer came too late
    return hold;
  } catch (error) {
    // Who comes back in the same name is given the same hold as long as it is there.
    const givenBack = giveBack(client, grant);
    if (options.uid !== undefined) await givenBack;
    throw error;
  }
}

/** Locks keys, for which it stands in line without end unless wait is given. */
async function standInLine(client: Client, keys: Keys, options: LockOptions): Promise<Answer<Grant>> {
  const { wait = maxWait } = options;
  for (;;) {
    try {
      return await client.lock(keys, { ...options, wait });
    } catch (error) {
      const over = error instanceof HoldfastError && error.code === "locked";
      if (!over || options.wait !== undefined) throw error;
    }
  }
}

async function giveBack(client: Client, grant: Grant): Promise<void> {
  try {
    await client.unlock(grant, { signal: AbortSignal.timeout(giveBackWithin) });
  } catch {
    // It ends when its exp has passed.
  }
}

/** A hold on one or more keys that is extended in the background, until it is unlocked or lost. */
export class Hold {
  /** The owner. */
  readonly uid: string;

  /**
   * The keys with their versions, in the order asked. Versions grow from grant to grant: a resource that is shown
   * them can refuse a latecomer.
   */
  readonly tokens: readonly Token[];

  /**
   * For all that may be done only while the keys are held. It is aborted before the hold can have run out on the
   * server, at the next extension when it was released by force, by {@link unlock}, and when the signal that the hold
   * was asked with is; its reason says why.
   *
   * Its `aborted`, `reason` and `throwIfAborted` look at the clock by themselves: who was kept from running for a
   * while, and goes on before any timer has fired, sees that the hold is over.
   */
  readonly signal: AbortSignal;

  readonly #client: Client;
  readonly #exp: number;
  readonly #ending = new AbortController(); // of signal
  readonly #extending = new AbortController(); // aborted when the hold is over
  readonly #forget: () => void; // lets go of the caller's signal
  #lives: Instant; // when the hold's life last began, or a little before that
  #trouble: unknown; // why the last extension failed, if it did
  #over: HoldfastError | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #unlocking: Promise<void> | undefined;
  #asked = false; // a server to unlock

  /** @internal */
  constructor(client: Client, grant: Grant, exp: number, lives: Instant, outer?: AbortSignal) {
    this.uid = grant.uid;
    this.tokens = grant.tokens;
    this.signal = attentive(this.#ending.signal, () => this.#check());
    this.#client = client;
    this.#exp = exp;
    this.#lives = lives;
    this.#forget = onAbort(outer, () => this.#ending.abort(outer?.reason));
    this.#look();
    void this.#renew();
  }

  /** Whether the keys are held, unless they were released by force since the last extension. It looks at the clock. */
  held(): boolean {
    return this.#check() === undefined;
  }

  /**
   * How much longer the hold can be used if it is not extended again, in ms: the time until its signal is aborted. It
   * is 0 when the hold is over, and looks at the clock.
   */
  left(): number {
    return this.#check() ? 0 : this.#left();
  }

  /**
   * Why the keys are not held any more, `lost` or `unlocked`; undefined while they are. After an {@link unlock} it is
   * `lost` as well if that has shown that somebody had released a key before. It looks at the clock.
   */
  get over(): HoldfastError | undefined {
    return this.#check();
  }

  /** The token of one key, if it is among those that were asked for. */
  token(key: string): Token | undefined {
    return this.tokens.find((token) => token.key === key);
  }

  /**
   * Gives the keys back. From the moment of the call the hold is over on this side. If the call fails, it ends on the
   * server when its exp has passed, unless it is unlocked again; after one that did not fail, unlocking does nothing.
   */
  unlock(options: CallOptions = {}): Promise<void> {
    if (!this.#check()) this.#end(new HoldfastError("unlocked", "the hold was unlocked"));
    this.#unlocking ??= this.#unlock(options);
    return this.#unlocking;
  }

  async #unlock(options: CallOptions): Promise<void> {
    const anew = !this.#asked;
    this.#asked = true;
    try {
      const { body, first } = await this.#client.unlock(this, options);
      // What cannot have run out, and is not unlocked by this, was released before.
      const gone = this.tokens.find(({ key }) => !body.unlocked.includes(key));
      if (gone && anew && first && this.#over?.code === "unlocked" && this.#left() > 0) this.#over = ended(gone.key);
    } catch (error) {
      this.#unlocking = undefined;
      throw error;
    }
  }

  #check(): HoldfastError | undefined {
    if (!this.#over && this.#left() <= 0) {
      const why = this.#trouble instanceof Error ? `: ${this.#trouble.message}` : "";
      const message = `the hold is lost: it was not extended in time${why}`;
      this.#end(new HoldfastError("lost", message, { cause: this.#trouble }));
    }
    return this.#over;
  }

  /** How much longer the hold can be used, in ms. */
  #left(): number {
    return this.#exp - this.#exp / reserve - since(this.#lives);
  }

  /** Ends the hold on this side. */
  #end(why: HoldfastError): void {
    this.#over = why;
    clearTimeout(this.#timer);
    this.#forget();
    this.#extending.abort(why);
    this.#ending.abort(why);
  }

  #look(): void {
    if (this.#check()) return;
    this.#timer = setTimeout(() => this.#look(), Math.min(this.#left(), this.#exp / looks));
  }

  async #renew(): Promise<void> {
    const over = this.#extending.signal;
    while (await pause(Math.max(0, this.#exp / renewals - since(this.#lives)), over)) {
      for (;;) {
        const failed = await this.#extend(over);
        if (!failed) break;
        const shortest = this.#exp / shortestPauses;
        const longest = this.#exp / longestPauses;
        const after = failed instanceof HoldfastError ? (failed.retryAfter ?? 0) : 0;
        await pause(Math.min(Math.max(after, shortest * (1 + Math.random())), longest), over);
      }
    }
  }

  /** Asks each server once for a new life, and gives the error if none answered. */
  async #extend(signal: AbortSignal): Promise<unknown> {
    if (this.#check()) return undefined;
    const { uid, tokens } = this;
    const exp = this.#exp;
    try {
      const limit = Math.min(exp / attempts, answerWithin);
      const { body, sent } = await this.#client.extend({ uid, tokens, exp }, { signal, limit, patience: 0 });
      if (this.#check()) return undefined; // nobody may use it any more, whatever the answer
      if (body.tokens.length < tokens.length) {
        const gone = tokens.find((token) => !body.tokens.some(({ key }) => key === token.key));
        this.#end(ended(gone?.key));
      } else {
        this.#lives = sent;
        this.#trouble = undefined;
      }
      return undefined;
    } catch (error) {
      if (this.#over) return undefined;
      this.#trouble = error;
      return error;
    }
  }
}

/** Why a hold is over that the server does not have any more. */
function ended(key: string | undefined): HoldfastError {
  return new HoldfastError("lost", `the hold is lost: key "${key}" was released by force, or its time ran out`);
}

/** Lets a signal look before it says whether it is aborted. */
function attentive(signal: AbortSignal, look: () => void): AbortSignal {
  for (const name of ["aborted", "reason"] as const) {
    Object.defineProperty(signal, name, {
      get() {
        look();
        return Reflect.get(AbortSignal.prototype, name, signal);
      },
    });
  }
  Object.defineProperty(signal, "throwIfAborted", {
    value() {
      look();
      AbortSignal.prototype.throwIfAborted.call(signal);
    },
  });
  return signal;
}
