/** Exclusive shares a key with nobody, shared with shared. */
export type Mode = "exclusive" | "shared";

/** A key that says its own mode or limit. */
export interface Ask {
  key: string;
  mode?: Mode | undefined;
  /** With `shared` only: at most so many holders at once, this one included. */
  limit?: number | undefined;
}

/** What to lock: one key, or up to 256 of them, all or none. */
export type Keys = string | readonly (string | Ask)[];

/**
 * What names one hold exactly. Versions only grow, from grant to grant: a resource that is shown them can refuse a
 * latecomer.
 */
export interface Token {
  key: string;
  version: number;
}

/** What every call can be given. */
export interface CallOptions {
  /** Ends the call: it rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** How to ask for keys. All durations are whole milliseconds. */
export interface LockOptions extends CallOptions {
  /** Who asks. One uid is one holder. By default each call has one of its own. */
  uid?: string | undefined;
  /** How long the hold lives without being extended; by default the server decides. */
  exp?: number | undefined;
  /** How long to stand in line; by default not at all. */
  wait?: number | undefined;
  /** For all keys that do not say their own. */
  mode?: Mode | undefined;
  /** For all keys that do not say their own, nor that they are exclusive. */
  limit?: number | undefined;
  /** Why. Shown to whoever is refused, and in lists. */
  note?: string | undefined;
}

/**
 * How to ask for keys that are extended until they are given back. Here `exp`, 10 s by default, is how long the others
 * wait when the owner has died, and how long the owner can do without a server; and `wait` is by default as long as the
 * signal allows: who has stood in line for a day begins anew at its end. The signal goes on to matter after the grant:
 * its end ends the one of the hold.
 */
export interface HoldOptions extends LockOptions {}

/** Holds, all of one owner. */
export interface Grant {
  uid: string;
  /** In the order asked. */
  tokens: Token[];
  /** What was left of the hold as the server answered, in ms. */
  exp: number;
}

/** What has become of holds that were to be extended. */
export interface Extension {
  /** Those that live on. */
  tokens: Token[];
  /** The tokens that name no hold any more. */
  lost: Token[];
  /** What is left of the hold that ends first, in ms; 0 if there is none. */
  exp: number;
}

/** Who holds a key. */
export interface Holder {
  uid: string;
  version: number;
  mode: Mode;
  limit?: number;
  /** What is left, in ms. */
  exp: number;
  /** ms since the grant. */
  held: number;
  note?: string;
}

/** Who stands in line for a key. */
export interface Waiter {
  uid: string;
  mode: Mode;
  limit?: number;
  /** ms in line. */
  waited: number;
  note?: string;
}

/** The state of one key. */
export interface Lock {
  key: string;
  holders: Holder[];
  /** First come first. */
  waiters: Waiter[];
}

/** Which keys to list. */
export interface ListOptions extends CallOptions {
  /** Only keys that begin so. */
  prefix?: string | undefined;
  /** Only keys on which this uid holds or waits. */
  uid?: string | undefined;
  /** Only keys that somebody waits for. */
  waited?: boolean | undefined;
  /** At most so many keys: 1 to 1000, by default 100. */
  limit?: number | undefined;
  /** Only keys behind this one: `next` of the page before. */
  after?: string | undefined;
}

/** Some of the keys that are held or waited for, ordered by key. */
export interface Page {
  locks: Lock[];
  /** Give this as `after` for the next page. Not there on the last one. */
  next?: string;
}

/** A hold that was ended by force. */
export interface Released {
  key: string;
  uid: string;
  version: number;
}

/** Who stands in the way of a request on one key. */
export interface Blocker {
  key: string;
  uid: string;
  mode: Mode;
  /** It stands ahead in line, and has neither version nor exp; otherwise it holds the key. */
  waiting: boolean;
  version?: number;
  /** What is left of the hold, in ms. */
  exp?: number;
  note?: string;
}

/** An owner in a circle and the key that it waits for, which the next one holds; after the last comes the first. */
export interface Link {
  uid: string;
  key: string;
}
