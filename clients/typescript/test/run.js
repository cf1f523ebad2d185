// Builds the server once, into a directory of its own, and runs the tests against it. Then the examples of README.md
// are compiled.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const client = join(here, "..");
const repository = join(client, "../..");
const directory = mkdtempSync(join(tmpdir(), "holdfast-"));

function run(command, args, cwd, env = {}) {
  const { status, error } = spawnSync(command, args, { cwd, env: { ...process.env, ...env }, stdio: "inherit" });
  if (error) console.error(`${command}: ${error.message}`);
  return status === 0;
}

// The examples stand where the name of the package leads to the package itself.
function examplesCompile() {
  const blocks = [...readFileSync(join(client, "README.md"), "utf8").matchAll(/^```ts\n(.*?)^```/gms)];
  const examples = join(client, "dist/examples");
  rmSync(examples, { recursive: true, force: true });
  mkdirSync(examples);
  const files = blocks.map(([, text], i) => {
    const file = join(examples, `${i + 1}.ts`);
    writeFileSync(file, `${text}\nexport {};\n`);
    return file;
  });
  const flags = "--ignoreConfig --noEmit --strict --target es2022 --module nodenext --lib es2022,dom".split(" ");
  return files.length > 0 && run(process.execPath, ["node_modules/typescript/bin/tsc", ...flags, ...files], client);
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
