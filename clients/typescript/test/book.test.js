// Runs the examples of docs/typescript.md, each against a server of its own.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { book, directory } from "./book.js";
import { patience, serve } from "./server.js";

/** The same for all versions. */
const masked = (text) => text.replaceAll(/\b\d{16}\b/g, "VERSION");

suite("docs/typescript.md", { timeout: 240_000 }, () => {
  for (const { name, output = "" } of book) {
    test(name, async (t) => {
      const { url } = await serve(t);
      const file = join(directory, `${name}.js`);
      writeFileSync(file, readFileSync(file, "utf8").replaceAll("http://localhost:3000", url));
      const { status, stdout, stderr } = spawnSync(process.execPath, [file], { encoding: "utf8", timeout: patience });
      assert.deepEqual({ status, stdout: masked(stdout), stderr }, { status: 0, stdout: masked(output), stderr: "" });
    });
  }
});
