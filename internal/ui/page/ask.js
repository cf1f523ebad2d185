// Requests to the server that the page came from.

const stored = "holdfast-token";
const storage = (() => {
  try {
    return sessionStorage;
  } catch {
    // A browser that takes no cookies keeps nothing else: it asks for the token each time.
  }
})();
let token = storage?.getItem(stored) ?? "";
let asking; // the promise of a token, while somebody is being asked for one

/** Gives a token, when the server wants one; set by dialogs.js. */
let giveToken = () => Promise.reject(new Error("the server asks for a token"));
export const onUnauthenticated = (give) => (giveToken = give);

/** A refusal, with the sentence that the server gives, and whether what was asked for may have happened all the same. */
export class Refusal extends Error {
  constructor(status, { error, message, outcome }) {
    super(message ?? `the server answered ${status}`);
    this.status = status;
    this.unknown = outcome === "unknown" || (status >= 500 && !error); // which only something in between answers
  }
}

/** What browsers say when there is no connection differs, and helps nobody. */
export function words(error) {
  return error instanceof TypeError || error.name === "AbortError" || error.name === "TimeoutError"
    ? "the server cannot be reached"
    : error.message.replace(/[.\s]+$/, "");
}

/**
 * Fetches; asks for a token, and again, as long as the server answers 401. The patience, in ms, is with the server, and not
 * with whoever looks for a token.
 */
export async function send(path, { headers = {}, patience, ...options } = {}) {
  for (;;) {
    const used = token;
    if (used) headers.Authorization = `Bearer ${used}`;
    if (patience) options.signal = AbortSignal.timeout(patience);
    const response = await fetch(path, { cache: "no-store", redirect: "error", ...options, headers });
    if (response.status !== 401) return response;
    await response.body?.cancel();
    if (token !== used) continue; // somebody else has asked meanwhile
    asking ??= giveToken(used !== "").finally(() => (asking = undefined));
    token = await asking;
    storage?.setItem(stored, token);
  }
}

/** Asks with a query of which what is empty is left out, and gives the answer as JSON. */
export async function ask(method, path, query = {}, { patience = 15_000 } = {}) {
  const set = Object.entries(query).filter(([, value]) => value !== "" && value !== undefined && value !== false);
  const search = new URLSearchParams(set.map(([name, value]) => [name, String(value)])).toString();
  const response = await send(search ? `${path}?${search}` : path, { method, patience });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refusal(response.status, body);
  return body;
}

/**
 * Gives a function that has work done soon: at once if that is long enough ago, never twice at the same time, and, however
 * often it is called, no more often than every so many milliseconds.
 */
export function coalesced(work, every) {
  let running = false;
  let again = false;
  let timer = 0;
  let last = -Infinity;
  return function soon() {
    if (running) again = true;
    if (running || timer) return;
    timer = setTimeout(async () => {
      timer = 0;
      running = true;
      try {
        await work();
      } finally {
        running = false;
        last = performance.now(); // a slow server is asked less often
        if (again) {
          again = false;
          soon();
        }
      }
    }, Math.max(0, last + every - performance.now()));
  };
}
