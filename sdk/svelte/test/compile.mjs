// How the tests of this package are built: Svelte's components are compiled, for browsers or, in tests named server…, for servers.

import { readFile } from "node:fs/promises";
import { compile } from "svelte/compiler";

/** Node's conditions under which Svelte is that of browsers. */
export const conditions = ["browser"];

/** esbuild's plugins. */
export const plugins = (server) => [
  {
    name: "svelte",
    setup({ onLoad }) {
      onLoad({ filter: /\.svelte$/ }, async ({ path }) => {
        const generate = server ? "server" : "client";
        const { js } = compile(await readFile(path, "utf8"), {
          filename: path,
          generate,
          dev: !server,
          css: "injected",
        });
        return { contents: js.code, loader: "js" };
      });
    },
  },
];
