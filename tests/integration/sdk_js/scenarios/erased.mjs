// Compares the modules in a folder with what TypeScript makes of the SDK's sources; both without their white space.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";

const SDK = new URL("../../../../sdk/js/", import.meta.url);
const require = createRequire(new URL("package.json", SDK));
const { transform } = require("esbuild");
const typescript = require("typescript");
const [, , folder] = process.argv;
const compilerOptions = {
  target: "ES2022",
  module: "ES2022",
  verbatimModuleSyntax: true,
  useDefineForClassFields: true,
};

const compact = async (code) =>
  (await transform(code, { minifyWhitespace: true, format: "esm", target: "es2022" })).code;

const names = readdirSync(new URL("src/", SDK), { recursive: true }).filter((name) => name.endsWith(".ts"));
assert.deepEqual(
  readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith(".js"))
    .sort(),
  names.map((name) => name.replace(/\.ts$/, ".js")).sort(),
);
for (const name of names) {
  const source = readFileSync(new URL(`src/${name}`, SDK), "utf8");
  const { outputText } = typescript.transpileModule(source, { compilerOptions });
  const erased = readFileSync(`${folder}/${name.replace(/\.ts$/, ".js")}`, "utf8");
  assert.equal(await compact(erased), await compact(outputText), name);
}
