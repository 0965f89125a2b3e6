// The package: minified modules for `import` and, in dist/cjs, for `require`, with the types beside both.

import { spawnSync } from "node:child_process";
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { build, transform } from "esbuild";
import { options } from "./bundle.mjs";

await rm("dist", { recursive: true, force: true });
const entryPoints = ["src/index.ts", "src/server.ts", "src/crypto.ts"];
// What the entries share is in one module, so that an error, or an address that was configured, is the same in all of them.
await build({ ...options, entryPoints, outdir: "dist", splitting: true, chunkNames: "shared-[hash]", sourcemap: true });
// It uses types of the others alone, and with them would have a part of the code that all applications load.
await build({ ...options, entryPoints: ["src/adapters.ts"], outdir: "dist", sourcemap: true });
const types = spawnSync(process.execPath, ["node_modules/typescript/bin/tsc"], { stdio: "inherit" });
if (types.status) process.exit(types.status);

const made = await readdir("dist", { recursive: true });
await mkdir("dist/cjs");
await writeFile("dist/cjs/package.json", '{ "type": "commonjs", "sideEffects": false }\n');
for (const name of made) {
  if (name.endsWith(".d.ts")) await cp(`dist/${name}`, `dist/cjs/${name}`);
  else if (name.endsWith(".js")) {
    const module = await readFile(`dist/${name}`, "utf8");
    const { code } = await transform(module, { format: "cjs", minify: true, platform: "node", target: "es2022" });
    await writeFile(`dist/cjs/${name}`, code.replace(/\n?\/\/# sourceMappingURL=.*/, ""));
  }
}
