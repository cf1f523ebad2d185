import { onAbort } from "./abort.js";
import { pause } from "./clock.js";

/**
 * Waits for one answer with several requests, each of which begins before the one before it ends. The server keeps the
 * place in line of one who asks for the same while he already stands there, and so it outlives every request.
 *
 * A new request begins each `every` ms; the one before it is ended `overlap` ms later, by when the server must have
 * heard the new one. If that was refused by then, such as by a server that is at a limit, the one before it stands on, and
 * another begins. The first answer counts, or the refusal of the last one that stood. The signal, which must not be aborted
 * yet, ends all of it.
 */
export async function relay<T>(
  request: (signal: AbortSignal) => Promise<T>,
  { every, overlap, signal }: { every: number; overlap: number; signal?: AbortSignal | undefined },
): Promise<T> {
  const all = new AbortController();
  const forget = onAbort(signal, () => all.abort(signal?.reason));
  const requests = new Set<AbortController>();
  try {
    return await new Promise<T>((resolve, reject) => {
      const begin = async () => {
        const before = [...requests];
        const own = new AbortController();
        requests.add(own);
        request(own.signal).then(resolve, (error) => {
          if (requests.delete(own) && requests.size === 0) reject(error);
        });
        if (!(await pause(overlap, all.signal))) return;
        if (requests.has(own)) {
          for (const earlier of before) {
            requests.delete(earlier);
            earlier.abort();
          }
          if (!(await pause(every - overlap, all.signal))) return;
        }
        void begin();
      };
      all.signal.addEventListener("abort", () => {
        for (const one of requests) one.abort(all.signal.reason);
      });
      void begin();
    });
  } finally {
    all.abort();
    forget();
  }
}
