// Rules and style of this package, of the tests' modules and of the server's pages, which share its tools. With --fix: put them into the style.

import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";

const fix = process.argv.includes("--fix");
const root = new URL("../../../", import.meta.url);
const modules = readdirSync(new URL("tests", root), { recursive: true })
  .map((name) => `tests/${name}`)
  .filter((name) => name.endsWith(".mjs") && !name.includes("node_modules"));

function run(tool, ...given) {
  const script = `sdk/js/node_modules/${tool}`;
  return spawnSync(process.execPath, [script, ...given], { cwd: root, stdio: "inherit" }).status ?? 1;
}

const style = ["--config", "sdk/js/.prettierrc.json", "--ignore-path", "sdk/js/.prettierignore"];
const rules = ["--config", "sdk/js/eslint.config.mjs", "--max-warnings", "0"];
const files = ["sdk/js/src", "sdk/js/test", "sdk/js/scripts", "server/*/static/**/*.js", ...modules];
process.exitCode =
  run("eslint/bin/eslint.js", ...rules, ...(fix ? ["--fix"] : []), ...files) ||
  run("prettier/bin/prettier.cjs", ...style, fix ? "--write" : "--check", "--log-level", "warn", ...files);
