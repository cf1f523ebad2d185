// Is compiled with the examples, and not run: what may be left out may be undefined, as strict programs have it.
import { Holdfast, type Ask, type HoldOptions } from "holdfast-client";

export interface Given {
  text: string | undefined;
  number: number | undefined;
  signal: AbortSignal | undefined;
}

export async function use({ text, number, signal }: Given): Promise<void> {
  const none = undefined;
  const holdfast = new Holdfast("http://localhost", { patience: number, token: text, headers: none, fetch: none });
  const ask: Ask = { key: "x", mode: none, limit: number };
  const options: HoldOptions = { uid: text, exp: number, wait: number, mode: none, limit: number, note: text, signal };
  const hold = await holdfast.hold([ask], options);
  await hold.unlock({ signal });
  await holdfast.extend(await holdfast.lock("x", options), { exp: number, signal });
  await holdfast.check("x", { signal });
  await holdfast.list({ prefix: text, uid: text, waited: none, limit: number, after: text, signal });
  await holdfast.get("x", { signal });
  await holdfast.force("x", { reason: text, signal });
  await holdfast.withLock("x", options, async (signal, [token]) => token?.version.toFixed(signal.aborted ? 1 : 0));
}
