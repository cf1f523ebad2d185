/** What is to be done when a signal is aborted. */
interface Listening {
  readonly all: Set<() => void>;
  readonly tell: () => void;
}

const listening = new WeakMap<AbortSignal, Listening>();

/**
 * Calls back when the signal is aborted; what it gives takes that back. However many calls share a signal, it has one
 * listener: at more than ten of them Node warns of a leak.
 */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (!signal) return () => {};
  const { all, tell } = listening.get(signal) ?? listen(signal);
  const own = () => callback();
  all.add(own);
  return () => {
    if (!all.delete(own) || all.size > 0) return;
    listening.delete(signal);
    signal.removeEventListener("abort", tell);
  };
}

function listen(signal: AbortSignal): Listening {
  const all = new Set<() => void>();
  const tell = () => {
    for (const callback of [...all]) callback();
  };
  signal.addEventListener("abort", tell);
  listening.set(signal, { all, tell });
  return { all, tell };
}
