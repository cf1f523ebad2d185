// Builds the server once, into a directory of its own, and runs the tests against it. The examples of the
// documentation are compiled before that.
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { book, directory as examples, readme } from "./book.js";

const here = fileURLToPath(new URL(".", import.meta.url));
const client = join(here, "..");
const repository = join(client, "../..");
const directory = mkdtempSync(join(tmpdir(), "holdfast-"));

function run(command, args, cwd, env = {}) {
  const { status, error } = spawnSync(command, args, { cwd, env: { ...process.env, ...env }, stdio: "inherit" });
  if (error) console.error(`${command}: ${error.message}`);
  return status === 0;
}

function examplesCompile() {
  rmSync(examples, { recursive: true, force: true });
  mkdirSync(examples);
  const files = [...readme, ...book].map(({ name, code }) => {
    const file = join(examples, `${name}.ts`);
    writeFileSync(file, `${code}\nexport {};\n`);
    return file;
  });
  files.push(join(examples, "strict.ts"));
  copyFileSync(join(here, "strict.ts"), files.at(-1));
  const flags = "--ignoreConfig --strict --exactOptionalPropertyTypes --noUncheckedIndexedAccess".split(" ");
  flags.push(..."--target es2022 --module nodenext --lib es2022,dom".split(" "));
  return run(process.execPath, ["node_modules/typescript/bin/tsc", ...flags, ...files], client);
}

let passed = false;
try {
  const server = join(directory, process.platform === "win32" ? "holdfast.exe" : "holdfast");
  const tests = readdirSync(here).filter((name) => name.endsWith(".test.js"));
  passed =
    examplesCompile() &&
    run("go", ["build", "-o", server, "./cmd/holdfast"], repository, { CGO_ENABLED: "0" }) &&
    run(process.execPath, ["--test", "--test-reporter=spec", ...tests], here, { HOLDFAST_TEST_SERVER: server });
} finally {
  rmSync(directory, { recursive: true, force: true });
}
process.exit(passed ? 0 : 1);
