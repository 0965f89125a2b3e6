// The package: one minified module, and the types beside it.

import { build } from "esbuild";

await build({
  entryPoints: ["src/index.ts"],
  outfile: "dist/index.js",
  bundle: true,
  minify: true,
  sourcemap: true,
  format: "esm",
  target: "es2022",
  // Members that begin with an underscore are ours alone.
  mangleProps: /^_/,
});
