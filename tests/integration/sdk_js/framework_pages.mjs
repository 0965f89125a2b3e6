// The modules of a documentation's page about a framework, compiled as its tools do. Run with a page and a folder: writes them there,
// of components the scripts.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = new URL("../../../", import.meta.url);
const path = (name) => fileURLToPath(new URL(name, ROOT));
const { build } = createRequire(path("sdk/js/package.json"))("esbuild");

/** The blocks of a page that have a title, by title. */
export async function blocksOf(page) {
  const text = await readFile(path(page), "utf8");
  return Object.fromEntries(
    [...text.matchAll(/```\w+ title="([^"]+)"\n(.*?)```/gs)].map(([, title, block]) => [title, block]),
  );
}

/** A component of Vue as TypeScript; without its template, whose types Vue's compiler does not keep, if that is not to be run. */
function compileVue(source, filename, inlineTemplate = true) {
  const { compileScript, parse } = createRequire(path("sdk/vue/package.json"))("vue/compiler-sfc");
  const { descriptor, errors } = parse(source, { filename });
  if (errors.length) throw errors[0];
  return compileScript(descriptor, { id: filename, inlineTemplate }).content;
}

/** A component of Svelte as JavaScript. */
function compileSvelte(source, filename) {
  const { compile } = createRequire(path("sdk/svelte/package.json"))("svelte/compiler");
  const { js, warnings } = compile(source, { filename, generate: "client", css: "injected" });
  if (warnings.length) throw new Error(warnings[0].message);
  return js.code;
}

/** Where an application begins. */
const ENTRIES = { react: "app.tsx", svelte: "main.ts", "tanstack-db": "main.ts", vue: "main.ts" };

/** What the tools of a framework do with its components. */
const COMPILERS = { svelte: compileSvelte, vue: compileVue };

/**
 * An application as one module for browsers: that of the page about an adapter; or, of its package and others by name in `alias`, what
 * begins with the text `entry` and has the modules `blocks` by their names.
 */
export async function bundled(adapter, { entry = `import "./${ENTRIES[adapter]}";`, blocks, alias = {} } = {}) {
  blocks ??= await blocksOf(`docs/sdk/${adapter}.md`);
  const resolveDir = path(`sdk/${adapter}/test`);
  const page = {
    name: "page",
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^\.\// }, ({ path: name, namespace, importer }) =>
        namespace === "page" || importer === "<stdin>"
          ? { path: moduleOf(name.slice(2).replace(/\.js$/, ".ts"), blocks), namespace: "page" }
          : undefined,
      );
      onLoad({ filter: /.*/, namespace: "page" }, ({ path: name }) => {
        const kind = name.split(".").at(-1);
        const compile = COMPILERS[kind];
        return {
          contents: compile ? compile(blocks[name], name) : blocks[name],
          loader: compile ? "ts" : kind,
          resolveDir,
        };
      });
    },
  };
  const { outputFiles } = await build({
    stdin: { contents: entry, resolveDir, loader: "tsx" },
    plugins: [page],
    alias: {
      "@bunbase/sdk/adapters": path("sdk/js/dist/adapters.js"),
      "@bunbase/sdk": path("sdk/js/dist/index.js"),
      [`@bunbase/${adapter}`]: path(`sdk/${adapter}/src/index.ts`),
      ...alias,
    },
    conditions: ["browser"],
    bundle: true,
    write: false,
    format: "esm",
    jsx: "automatic",
    define: {
      "process.env.NODE_ENV": '"development"',
      global: "globalThis", // as React Native has it
      __VUE_OPTIONS_API__: "true",
      __VUE_PROD_DEVTOOLS__: "false",
      __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: "false",
    },
  });
  return outputFiles[0].text;
}

/** A block by the name that a module has for it, with its ending or without. */
const moduleOf = (name, blocks) =>
  name in blocks ? name : Object.keys(blocks).find((each) => each.startsWith(`${name}.`));

/** What is around the block of a package's README, which is a part of a component. */
const COMPONENTS = {
  react: (block) => `
    import { RealtimeProvider, useQuery } from "@bunbase/react";
    import { Realtime } from "@bunbase/sdk";
    import { StrictMode } from "react";
    import { createRoot } from "react-dom/client";
    function Messages() {
      ${block}
      return <ul id={status}>{docs.map((doc) => <li key={doc.id}>{doc.data().body}</li>)}</ul>;
    }
    createRoot(document.querySelector("#root")).render(
      <StrictMode><RealtimeProvider client={new Realtime()}><Messages /></RealtimeProvider></StrictMode>,
    );`,
  vue: (block) => `
    import { RealtimePlugin, useQuery } from "@bunbase/vue";
    import { Realtime } from "@bunbase/sdk";
    import { createApp, h } from "vue";
    const Messages = { props: ["room"], setup(props) {
      ${block}
      return () => h("ul", { id: status.value }, docs.value.map((doc) => h("li", doc.data().body)));
    } };
    createApp(Messages, { room: "general" }).use(RealtimePlugin, new Realtime()).mount("#app");`,
};

/** The README of an adapter's package as an application; undefined if it has no code. */
export async function readmeBundled(adapter) {
  const readme = await readFile(path(`sdk/${adapter}/README.md`), "utf8");
  const blocks = [...readme.matchAll(/```tsx?\n(.*?)```/gs)].map(([, block]) => block);
  return blocks.length ? bundled(adapter, { entry: COMPONENTS[adapter](blocks.join("")) }) : undefined;
}

/** The application of the page about React Native, by its parts that run on the web; its server is `url`. */
export async function nativeBundled(url) {
  const blocks = await blocksOf("docs/frameworks/react-native.md");
  const packages = (name) => path(`tests/browser/node_modules/${name}`);
  blocks["realtime.native.ts"] = blocks["realtime.native.ts"].replace("https://realtime.example.com", url);
  return bundled("react", {
    blocks,
    entry: `import { AppRegistry } from "react-native";
      import App from "./App";
      AppRegistry.registerComponent("app", () => App);
      AppRegistry.runApplication("app", { rootTag: document.querySelector("#root") });`,
    alias: {
      "react-native-get-random-values": packages("react-native-get-random-values"),
      "react-native-url-polyfill": packages("react-native-url-polyfill"),
      "react-native": packages("react-native-web"),
      react: path("sdk/react/node_modules/react"),
      "react-dom": path("sdk/react/node_modules/react-dom"),
    },
  });
}

/** The script of a component in TypeScript. */
const SCRIPTS = {
  svelte(block, title) {
    compileSvelte(block, title); // of all of it
    return `${/<script lang="ts">(.*?)<\/script>/s.exec(block)[1]}\nexport default {} as import("svelte").Component;\n`;
  },
  vue: (block, title) => compileVue(block, title, false),
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , page, folder] = process.argv;
  for (const [title, block] of Object.entries(await blocksOf(page))) {
    const script = SCRIPTS[title.split(".").at(-1)];
    const file = join(folder, script ? `${title}.ts` : title);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, script ? script(block, title) : block);
  }
}
