// Real servers for tests, and others that misbehave.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** How long anything may take that takes no time. */
export const patience = 60_000;

/** Starts a server for the time of a test; gives its url and process. */
export async function serve(t, ...args) {
  const cwd = mkdtempSync(join(tmpdir(), "holdfast-"));
  const process = spawn(globalThis.process.env.HOLDFAST_TEST_SERVER, ["serve", "-N", "-p", "0", ...args], {
    cwd, // where no .env is
    env: {},
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = once(process, "exit");
  t.after(async () => {
    process.kill("SIGKILL");
    await ended;
    rmSync(cwd, { recursive: true });
  });
  const lines = createInterface({ input: process.stderr });
  const [line] = await once(lines, "line", { signal: AbortSignal.timeout(patience) });
  const { url } = JSON.parse(line);
  if (!url) throw new Error(`the server says ${line}`);
  return { url, process };
}

/** Makes a token for the time of a test that may do what is granted; gives it, and the file for the server. */
export function newToken(t, grant) {
  const directory = mkdtempSync(join(tmpdir(), "holdfast-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, "auth.json");
  const args = ["token", "new", "--auth-file", file, "--grant", grant, "test"];
  const token = execFileSync(globalThis.process.env.HOLDFAST_TEST_SERVER, args, { cwd: directory, encoding: "utf8" });
  return { token: token.trim(), file };
}

/** Starts an HTTP server for the time of a test that does what the handler does; gives its url. */
export async function pretend(t, handler) {
  const server = createServer(handler).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

/** A url at which nobody listens. */
export async function nobody() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return `http://127.0.0.1:${port}`;
}

/** Asks again and again until the answer is true. */
export async function until(question) {
  const end = performance.now() + patience;
  while (!(await question())) {
    if (performance.now() > end) throw new Error(`waited in vain for ${question}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Waits until so many stand in line for a key. */
export async function inLine(holdfast, key, count) {
  await until(async () => (await holdfast.get(key)).waiters.length === count);
}
