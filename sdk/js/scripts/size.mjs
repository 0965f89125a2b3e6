// Fails if the package, minified and compressed, is larger than promised.

import { readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";

const LIMIT = 12 * 1024;
const code = await readFile(new URL("../dist/index.js", import.meta.url));
const size = gzipSync(code, { level: 9 }).length;
console.log(`${size} bytes compressed, ${code.length} minified; at most ${LIMIT} are allowed`);
if (size > LIMIT) process.exitCode = 1;
