// Fails if what an application gets in its bundle, minified and compressed, is larger than promised.

import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const BOUNDS = [
  ["all of @bunbase/sdk", 'export * from "./dist/index.js";', 12 * 1024],
  ["a live query", 'import { db } from "./dist/index.js"; db.collection("c").onSnapshot(console.log);', 8 * 1024],
  ["an error", 'export { RealtimeError } from "./dist/index.js";', 512],
  ["all of @bunbase/sdk/server", 'export * from "./dist/server.js";', 3 * 1024],
  ["all of @bunbase/sdk/crypto", 'export * from "./dist/crypto.js";', 2 * 1024],
];

for (const [what, contents, most] of BOUNDS) {
  const stdin = { contents, resolveDir: "." };
  const made = await build({ stdin, bundle: true, minify: true, format: "esm", target: "es2022", write: false });
  const size = gzipSync(made.outputFiles[0].contents, { level: 9 }).length;
  console.log(`${what}: ${size} bytes compressed; at most ${most} are allowed`);
  if (size > most) process.exitCode = 1;
}
