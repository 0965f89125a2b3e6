// Bundle each test of an adapter, whose folder it is run in, with what it tests and with the SDK's sources, and run them. The
// frameworks themselves stay packages. test/setup.ts, if there is one, is run before they are loaded, and gives them a browser's
// objects; but not for tests whose names begin with "server".

import { spawnSync } from "node:child_process";
import { readdir, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const source = (name) => fileURLToPath(new URL(`../src/${name}.ts`, import.meta.url));
const names = await readdir("test");
const tests = names.filter((name) => /\.test\.tsx?$/.test(name));
const setup = names.filter((name) => name === "setup.ts");
/** What a package needs beside that: esbuild's plugins, and the conditions under which Node finds packages for browsers. */
const { plugins = () => [], conditions = [] } = names.includes("compile.mjs")
  ? await import(`${process.cwd()}/test/compile.mjs`)
  : {};

/** Build and run tests; returns the exit code. */
async function run(chosen, server) {
  const outdir = `build/test/${server ? "server" : "browser"}`;
  const all = server ? chosen : [...chosen, ...setup];
  if (!chosen.length) return 0;
  await build({
    entryPoints: all.map((name) => `test/${name}`),
    outdir,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    packages: "external",
    alias: { "@bunbase/sdk/adapters": source("adapters"), "@bunbase/sdk": source("index") },
    plugins: plugins(server),
    jsx: "automatic",
    platform: "node",
    format: "esm",
    sourcemap: "inline",
  });
  const made = (name) => `${outdir}/${name.replace(/tsx?$/, "mjs")}`;
  const before = server
    ? []
    : [
        ...conditions.map((each) => `--conditions=${each}`),
        ...setup.flatMap((name) => ["--import", `./${made(name)}`]),
      ];
  const command = ["--enable-source-maps", ...before, "--test", ...chosen.map(made)];
  return spawnSync(process.execPath, command, { stdio: "inherit" }).status ?? 1;
}

await rm("build/test", { recursive: true, force: true });
const onServers = tests.filter((name) => name.startsWith("server"));
const codes = [
  await run(
    tests.filter((name) => !onServers.includes(name)),
    false,
  ),
  await run(onServers, true),
];
process.exit(Math.max(...codes));
