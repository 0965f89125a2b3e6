// Rules for the SDK, the modules of the tests and the pages of server and examples (`npm run lint`, from the repository's root). Style is prettier's.

import js from "@eslint/js";
import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

/** What Node and browsers have in common here, and what the tests' modules use of each. */
const GLOBALS = [
  ...["AbortController", "AbortSignal", "Buffer", "CustomEvent", "Event", "TextDecoder", "TextEncoder", "URL"],
  ...["URLSearchParams", "WebSocket", "clearTimeout", "console", "crypto", "document", "fetch", "getComputedStyle"],
  ...["globalThis", "location", "performance", "process", "setImmediate", "setInterval", "clearInterval", "setTimeout"],
  ...[
    "structuredClone",
    "NodeFilter",
    "SVGElement",
    "EventSource",
    "dispatchEvent",
    "window",
    "localStorage",
    "sessionStorage",
    "innerWidth",
    "innerHeight",
    "navigator",
  ],
];

/** What only browsers have. */
const BROWSER_GLOBALS = [
  ...[
    "Blob",
    "CSS",
    "Element",
    "EventTarget",
    "FormData",
    "Node",
    "ResizeObserver",
    "addEventListener",
    "atob",
    "btoa",
    "getSelection",
  ],
  ...["history", "matchMedia", "reportError", "requestAnimationFrame"],
];

const readonly = (names) => Object.fromEntries(names.map((name) => [name, "readonly"]));

/** The folders of the source, in their order: each imports only from those before it. */
const FOLDERS = ["protocol", "core", "transports", "connection", "client", "adapters"];

/** A rule for `folder`: nothing from those that come after it, nor from the package's index. */
function orderOf(folder, place) {
  const later = FOLDERS.slice(place + 1).map((each) => `../${each}/*`);
  const message = `${folder}/ imports only from folders before it: ${FOLDERS.join(", ")}`;
  return {
    files: [`sdk/js/src/${folder}/*.ts`],
    rules: { "no-restricted-imports": ["error", { patterns: [{ group: ["../index.js", ...later], message }] }] },
  };
}

export default defineConfig(
  js.configs.recommended,
  { languageOptions: { globals: readonly(GLOBALS) } },
  { files: ["{server/*/static,examples}/**/*.js"], languageOptions: { globals: readonly(BROWSER_GLOBALS) } },
  { files: ["examples/**/service-worker.js"], languageOptions: { globals: readonly(["self", "MessageChannel"]) } },
  {
    files: ["sdk/{js,react,vue,svelte,tanstack-db}/{src,test}/**/*.{ts,tsx}", "examples/**/*.{ts,tsx}"],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      // The runner waits for its tests by itself.
      "@typescript-eslint/no-floating-promises": [
        "error",
        { allowForKnownSafeCalls: [{ from: "package", package: "node:test", name: "test" }] },
      ],
      // A rest beside it leaves a field out.
      "@typescript-eslint/no-unused-vars": ["error", { ignoreRestSiblings: true }],
    },
  },
  ...FOLDERS.map(orderOf),
  {
    // Tests look into recorded JSON of any shape; a wrong field there fails the assertion.
    files: ["sdk/{js,react,vue,svelte,tanstack-db}/test/**/*.{ts,tsx}"],
    rules: {
      "@typescript-eslint/no-explicit-any": "off",
      "@typescript-eslint/no-unsafe-argument": "off",
      "@typescript-eslint/no-unsafe-assignment": "off",
      "@typescript-eslint/no-unsafe-call": "off",
      "@typescript-eslint/no-unsafe-member-access": "off",
      "@typescript-eslint/no-unsafe-return": "off",
    },
  },
);
