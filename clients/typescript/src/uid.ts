/** Makes a uid that nobody else has, and from which a person can tell where its owner runs. */
export function newUID(): string {
  const chance = Array.from(crypto.getRandomValues(new Uint8Array(10)), (b) => b.toString(16).padStart(2, "0"));
  return `${place()}/${chance.join("")}`;
}

/** What of Node's globals is looked at. */
interface NodeGlobals {
  process?: { pid?: number; getBuiltinModule?(name: "os"): { hostname(): string } | undefined };
}

/** The host and process in Node, the origin in a browser. */
function place(): string {
  const { process } = globalThis as NodeGlobals;
  if (process?.pid === undefined) return globalThis.location?.host || "browser";
  const host = process.getBuiltinModule?.("os")?.hostname() ?? ""; // not there before Node 20.16
  return `${/^[\w.-]{1,128}$/.test(host) ? host : "node"}/${process.pid}`;
}
