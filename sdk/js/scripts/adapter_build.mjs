// The package of an adapter, whose folder it is run in: modules for `import` and, in dist/cjs, for `require`, with the types beside both.

import { spawnSync } from "node:child_process";
import { cp, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

await rm("dist", { recursive: true, force: true });
const options = {
  entryPoints: ["src/index.ts"],
  bundle: true,
  packages: "external",
  external: ["@bunbase/*"], // tsconfig.json has their sources
  target: "es2022",
  sourcemap: true,
};
await build({ ...options, format: "esm", outdir: "dist" });
await build({ ...options, format: "cjs", outdir: "dist/cjs" });
const compiler = fileURLToPath(import.meta.resolve("typescript/bin/tsc"));
const types = spawnSync(process.execPath, [compiler, "-p", "tsconfig.build.json"], { stdio: "inherit" });
if (types.status) process.exit(types.status);
await mkdir("dist/cjs", { recursive: true });
await writeFile("dist/cjs/package.json", '{ "type": "commonjs", "sideEffects": false }\n');
for (const name of await readdir("dist")) if (name.endsWith(".d.ts")) await cp(`dist/${name}`, `dist/cjs/${name}`);
