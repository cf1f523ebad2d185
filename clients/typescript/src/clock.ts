import { onAbort } from "./abort.js";

/** A moment, for durations only. */
export interface Instant {
  readonly running: number;
  readonly wall: number;
}

export function now(): Instant {
  return { running: performance.now(), wall: Date.now() };
}

/**
 * How many ms have passed. The monotonic clock tells; but on many systems it stands still while the machine is
 * suspended, and the wall clock, the only other one here, does not. So the one that says more is believed. A wall clock
 * that is set back changes nothing, and one that is set forward ends a hold early, never late.
 */
export function since(then: Instant): number {
  return Math.max(performance.now() - then.running, Date.now() - then.wall);
}

/** Waits for so many ms, and says whether it did: not if the signal was aborted. */
export function pause(ms: number, signal?: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve(false);
    const over = () => {
      clearTimeout(timer);
      forget();
      resolve(!signal?.aborted);
    };
    const timer = setTimeout(over, ms);
    const forget = onAbort(signal, over);
  });
}
