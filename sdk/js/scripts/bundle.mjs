// How the package is bundled, for `build` and for `size`.

import { readFile } from "node:fs/promises";
import { shortNames } from "./names.mjs";

/** The codes by their names, such as `ErrorCode.ConnectionFailed`. */
async function codes() {
  const text = await readFile("src/protocol/codes.ts", "utf8");
  const found = {};
  for (const [, name, body] of text.matchAll(/export const (\w+) = \{(.*?)\} as const/gs))
    for (const [, key, value] of body.matchAll(/^ {2}(\w+): (.+),$/gm)) found[`${name}.${key}`] = value;
  return found;
}

/** Codes as literals, so that a bundle that does not use the lists of codes does not have them. */
const literals = {
  name: "literals",
  async setup({ onLoad }) {
    const known = await codes();
    onLoad({ filter: /[\\/]src[\\/].*\.ts$/ }, async ({ path }) => ({
      contents: (await readFile(path, "utf8")).replace(
        /\b(?:Error|Close)Code\.\w+(?!\w)/g,
        (name) => known[name] ?? name,
      ),
      loader: "ts",
    }));
  },
};

/** Options of esbuild. */
export const options = {
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  // Members that begin with an underscore are ours alone.
  mangleProps: /^_/,
  mangleCache: shortNames(),
  plugins: [literals],
};
