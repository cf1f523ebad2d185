// What goes into the package.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "node:test";

const client = fileURLToPath(new URL("..", import.meta.url));

test("the package has each source as compiled, and nothing else", () => {
  const npm = process.env.npm_execpath; // of the npm that runs the tests
  const told = execFileSync(process.execPath, [npm, "pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: client });
  const sources = readdirSync(`${client}/src`).map((name) => `dist/${basename(name, ".ts")}`);
  const expected = ["README.md", "package.json", ...sources.flatMap((name) => [`${name}.js`, `${name}.d.ts`])];
  const [{ files }] = JSON.parse(told);
  assert.deepEqual(files.map(({ path }) => path).sort(), expected.sort());
});
