// The generated reference becomes a page of the documentation. With --check: fails if that page is not as generated now.

import { readFile, writeFile } from "node:fs/promises";

const PAGE = new URL("../../../docs/sdk/js-reference.md", import.meta.url);
const ENTRIES = {
  index: "@bunbase/sdk",
  server: "@bunbase/sdk/server",
  crypto: "@bunbase/sdk/crypto",
  adapters: "@bunbase/sdk/adapters",
};

/** The part about one entry, with its anchors under names that no other part has. */
async function part(name) {
  const anchor = (entry, id) => (entry === "index" ? id : `${entry}-${id}`);
  const text = (await readFile(new URL(`../build/docs/${name}.md`, import.meta.url), "utf8"))
    .replace(/<a id="([^"]+)">/g, (_, id) => `<a id="${anchor(name, id)}">`)
    .replace(/\]\((?:(\w+)\.md)?#([^)]+)\)/g, (_, entry = name, id) => `](#${anchor(entry, id)})`)
    .replace(/\\([<>])/g, (_, bracket) => (bracket === "<" ? "&lt;" : "&gt;")); // the site's Markdown does not know \<
  return `## \`${ENTRIES[name]}\`\n\n${text.trim()}\n`;
}

const parts = await Promise.all(Object.keys(ENTRIES).map(part));
const page = `# TypeScript reference

Generated from the comments in \`sdk/js/src\`. The guide is [TypeScript SDK](js.md).

${parts.join("\n")}`;

if (!process.argv.includes("--check")) await writeFile(PAGE, page);
else if ((await readFile(PAGE, "utf8")) !== page) {
  console.error("docs/sdk/js-reference.md is not up to date: run `npm run docs` in sdk/js");
  process.exitCode = 1;
}
