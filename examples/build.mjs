// Bundles the pages of examples that are written with a framework, or use packages of npm: node build.mjs FOLDER EXAMPLE...

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { compile } from "svelte/compiler";

const [folder, ...examples] = process.argv.slice(2);
const PAGES = { chat: "chat.tsx", dashboard: "dashboard.tsx", feed: "feed.js", notes: "notes.js" };
const source = (path) => fileURLToPath(new URL(`../sdk/${path}.ts`, import.meta.url));

/** The adapters, whose sources are in folders beside, use the frameworks of this one. */
const frameworks = {
  name: "frameworks",
  setup({ onResolve, resolve }) {
    onResolve({ filter: /^(react|react-dom|svelte)($|\/)/ }, ({ path, kind, pluginData }) =>
      pluginData === "here" ? null : resolve(path, { kind, resolveDir: import.meta.dirname, pluginData: "here" }),
    );
  },
};

/** Components of Svelte. They make their elements one by one, because the pages' policy forbids markup from texts. */
const svelte = {
  name: "svelte",
  setup({ onLoad }) {
    onLoad({ filter: /\.svelte$/ }, async ({ path }) => {
      const { js } = compile(await readFile(path, "utf8"), { filename: path, css: "external", fragments: "tree" });
      return { contents: js.code, loader: "js" };
    });
  },
};

await build({
  entryPoints: examples.map((name) => ({ in: `${name}/${PAGES[name]}`, out: name })),
  outdir: folder,
  bundle: true,
  minify: true,
  sourcemap: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  define: {
    "process.env.NODE_ENV": '"production"',
    "globalThis.window.trustedTypes": "undefined", // so Svelte asks for no policy for the markup that it does not make
  },
  // Your application has these from npm. Here they are those of this tree, with nothing built before.
  alias: {
    "@bunbase/sdk": source("js/src/index"),
    "@bunbase/sdk/adapters": source("js/src/adapters"),
    "@bunbase/react": source("react/src/index"),
    "@bunbase/svelte": source("svelte/src/index"),
  },
  external: ["/address.js", "/realtime.js"], // what the back end makes: the address of the realtime server, and its SDK
  plugins: [frameworks, svelte],
  logLevel: "error",
});
