// Rules and style of this package, of the adapters, of the tests' modules and of the pages of server and examples, which share its tools. With --fix: put them into the style.
//
// What was found good is not looked at again before a file changes: ESLint takes 15 s of a processor, mostly for types. Its own
// cache judges each file by itself, but rules that know types depend on other files, too. So all files and the tools are one key.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";

const fix = process.argv.includes("--fix");
const ADAPTERS = ["react", "svelte", "tanstack-db", "vue"];
const root = new URL("../../../", import.meta.url);
const modules = readdirSync(new URL("tests", root), { recursive: true })
  .map((name) => `tests/${name}`)
  .filter((name) => name.endsWith(".mjs") && !name.includes("node_modules"));

function run(tool, ...given) {
  const script = `sdk/js/node_modules/${tool}`;
  return spawnSync(process.execPath, [script, ...given], { cwd: root, stdio: "inherit" }).status ?? 1;
}

/** The paths of all files in a folder, from the repository's root, but for what is installed or built there. */
function within(folder) {
  return readdirSync(new URL(folder, root), { withFileTypes: true }).flatMap((each) => {
    const path = `${folder}/${each.name}`;
    if (["node_modules", "dist", "build"].includes(each.name)) return [];
    return each.isDirectory() ? within(path) : [path];
  });
}

/** What the outcome depends on: each file by its path and content, the installed packages, and Node. */
function state() {
  const pages = readdirSync(new URL("server", root)).map((part) => `server/${part}/static`);
  const scripts = pages.filter((page) => existsSync(new URL(page, root))).flatMap(within);
  const examples = within("examples").filter((path) => /\.([jt]s|tsx|mjs|json)$/.test(path));
  const digest = createHash("sha256").update(process.version + [...installed, ...typed].join());
  for (const path of [
    ...within("sdk/js"),
    ...ADAPTERS.flatMap((name) => within(`sdk/${name}`)),
    ...modules,
    ...scripts,
    ...examples,
    "sdk/js/node_modules/.package-lock.json",
  ].sort())
    digest.update(JSON.stringify([path, readFileSync(new URL(path, root), "base64")]));
  return digest.digest("hex");
}

const style = ["--config", "sdk/js/.prettierrc.json", "--ignore-path", "sdk/js/.prettierignore"];
const rules = ["--config", "sdk/js/eslint.config.mjs", "--max-warnings", "0"];
// The rules know types, so a package whose own are not installed (`make node-packages`) cannot be judged.
const installed = ["js", ...ADAPTERS].filter((name) => existsSync(new URL(`sdk/${name}/node_modules`, root)));
const packages = installed
  .flatMap((name) => ["src", "test", "scripts"].map((part) => `sdk/${name}/${part}`))
  .filter((path) => existsSync(new URL(path, root)));
const typed = existsSync(new URL("examples/node_modules", root)) ? ["examples/**/*.{ts,tsx}"] : [];
const files = [...packages, "server/*/static/**/*.js", "examples/**/*.{js,mjs}", ...typed, ...modules];
const cache = new URL("sdk/js/node_modules/.cache/", root);
const good = new URL("lint", cache);
const found = state();
if (!fix && existsSync(good) && readFileSync(good, "utf8") === found) process.exit(0);
process.exitCode =
  run("eslint/bin/eslint.js", ...rules, ...(fix ? ["--fix"] : []), ...files) ||
  run("prettier/bin/prettier.cjs", ...style, fix ? "--write" : "--check", "--log-level", "warn", ...files);
if (process.exitCode === 0) {
  mkdirSync(cache, { recursive: true });
  writeFileSync(good, fix ? state() : found);
}
