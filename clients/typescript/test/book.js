// The examples of the documentation: blocks of TypeScript, and, in a block of text behind one, what it prints.
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const client = fileURLToPath(new URL("..", import.meta.url));

/** Where the compiled examples are; there the name of the package leads to the package itself. */
export const directory = join(client, "dist/examples");

function examplesOf(page) {
  const text = readFileSync(page, "utf8");
  const blocks = [...text.matchAll(/^```ts\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?/gms)];
  if (blocks.length === 0) throw new Error(`${page} has no examples`);
  return blocks.map(([, code, output], i) => ({ name: `${basename(page, ".md")}-${i + 1}`, code, output }));
}

/** Those of README.md are compiled. */
export const readme = examplesOf(join(client, "README.md"));

/** Those of the book are run as well. */
export const book = examplesOf(join(client, "../../docs/typescript.md"));
