// Fails if what an application gets in its bundle, minified and compressed, is larger than promised.

import { relative } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const BOUNDS = [
  ["all of @bunbase/sdk", 'export * from "./dist/index.js";', 14.25 * 1024],
  ["a live query with db", `import { db } from "./dist/index.js"; ${followed("db")}`, 8 * 1024],
  [
    "a live query with new Realtime()",
    `import { Realtime } from "./dist/index.js"; ${followed("new Realtime().database()")}`,
    Infinity, // for the page about the SDK: channels are in it
  ],
  ["an error", 'export { RealtimeError } from "./dist/index.js";', 512],
  ["all of @bunbase/sdk/server", 'export * from "./dist/server.js";', 3 * 1024],
  ["all of @bunbase/sdk/crypto", 'export * from "./dist/crypto.js";', 2 * 1024],
  ["all of @bunbase/sdk/adapters", 'export * from "./dist/adapters.js";', 1536],
  ...["react", "vue", "svelte"].map((name) => [
    `all of @bunbase/${name}`,
    `export * from "../${name}/src/index.ts";`,
    1024,
  ]),
];

function followed(database) {
  return `${database}.collection("c").where("a", "==", 1).orderBy("b", "desc").limit(9).onSnapshot(console.log);`;
}

for (const [what, code, most] of BOUNDS) {
  const stdin = { contents: code, resolveDir: "." };
  // What is loaded on demand only is in files of its own.
  const output = {
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    splitting: true,
    outdir: "x",
    write: false,
    external: ["react", "vue", "svelte", "@bunbase/*"],
  };
  const { outputFiles, metafile } = await build({ stdin, ...output, metafile: true });
  const needed = new Set();
  const need = (name) => {
    needed.add(name);
    for (const { path, kind, external } of metafile.outputs[name].imports)
      if (!external && kind === "import-statement" && !needed.has(path)) need(path);
  };
  need(Object.keys(metafile.outputs).find((name) => metafile.outputs[name].entryPoint));
  const contents = outputFiles.filter(({ path }) => needed.has(relative(".", path))).map(({ contents }) => contents);
  const size = gzipSync(Buffer.concat(contents), { level: 9 }).length;
  console.log(`${what}: ${size} bytes compressed${most < Infinity ? `; at most ${most} are allowed` : ""}`);
  if (size > most) process.exitCode = 1;
}
