// Bundle each test of an adapter, whose folder it is run in, with what it tests and with the SDK's sources, and run them. The
// frameworks themselves stay packages. test/setup.ts, if there is one, is run before they are loaded.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const source = (name) => fileURLToPath(new URL(`../src/${name}.ts`, import.meta.url));
const tests = (await readdir("test")).filter((name) => /\.test\.tsx?$/.test(name));
const setup = existsSync("test/setup.ts") ? ["setup.ts"] : [];
/** What a package needs beside that: esbuild's plugins, and Node's options. */
const { plugins = [], flags = [] } = existsSync("test/compile.mjs")
  ? await import(`${process.cwd()}/test/compile.mjs`)
  : {};
await rm("build/test", { recursive: true, force: true });
await build({
  entryPoints: [...tests, ...setup].map((name) => `test/${name}`),
  outdir: "build/test",
  outExtension: { ".js": ".mjs" },
  bundle: true,
  packages: "external",
  alias: { "@bunbase/sdk/adapters": source("adapters"), "@bunbase/sdk": source("index") },
  plugins,
  jsx: "automatic",
  platform: "node",
  format: "esm",
  sourcemap: "inline",
});
const made = (name) => `build/test/${name.replace(/tsx?$/, "mjs")}`;
const before = setup.flatMap((name) => ["--import", `./${made(name)}`]);
const run = [...flags, "--enable-source-maps", ...before, "--test", ...tests.map(made)];
process.exit(spawnSync(process.execPath, run, { stdio: "inherit" }).status ?? 1);
