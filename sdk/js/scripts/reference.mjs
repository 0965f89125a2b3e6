// The generated reference becomes a page of the documentation. With --check: fails if that page is not as generated now.

import { readFile, writeFile } from "node:fs/promises";

const PAGE = new URL("../../../docs/sdk/js-reference.md", import.meta.url);
const generated = await readFile(new URL("../build/docs/js-reference.md", import.meta.url), "utf8");
const page = `# TypeScript reference

Generated from the comments in \`sdk/js/src\`. The guide is [TypeScript SDK](js.md).

${generated.trim().replace(/\\([<>])/g, (_, bracket) => (bracket === "<" ? "&lt;" : "&gt;"))}
`; // the site's Markdown does not know \\<

if (!process.argv.includes("--check")) await writeFile(PAGE, page);
else if ((await readFile(PAGE, "utf8")) !== page) {
  console.error("docs/sdk/js-reference.md is not up to date: run `npm run docs` in sdk/js");
  process.exitCode = 1;
}
