import type { Blocker, Link } from "./types.js";

/**
 * Why something failed, in one word. `lost` and `unlocked` come from the client, and say why a hold is over; all others
 * are the server's. `unavailable` is also the word for a server that cannot be reached.
 */
export type Code =
  | "invalid"
  | "unauthenticated"
  | "forbidden"
  | "not_found"
  | "method_not_allowed"
  | "locked"
  | "deadlock"
  | "too_large"
  | "unsupported_media_type"
  | "limit"
  | "unavailable"
  | "lost"
  | "unlocked";

/** A refusal: a code for machines, a message for people, and what belongs to the code. */
export class HoldfastError extends Error {
  override readonly name = "HoldfastError";
  readonly code: Code;
  /** With `locked`: who is in the way, at most 32 of them. */
  readonly blockers: readonly Blocker[];
  /** With `deadlock`: the circle that the request would have closed. */
  readonly cycle: readonly Link[];
  /** With `unavailable` and `limit`: after how many ms to ask again, if the server said so. */
  readonly retryAfter: number | undefined;
  /** With `unavailable`, and with a refusal after an attempt without an answer: what was asked for may have happened. */
  readonly outcomeUnknown: boolean;

  constructor(
    code: Code,
    message: string,
    more: {
      blockers?: readonly Blocker[];
      cycle?: readonly Link[];
      retryAfter?: number | undefined;
      outcomeUnknown?: boolean;
      cause?: unknown;
    } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.code = code;
    this.blockers = more.blockers ?? [];
    this.cycle = more.cycle ?? [];
    this.retryAfter = more.retryAfter;
    this.outcomeUnknown = more.outcomeUnknown ?? false;
  }
}
