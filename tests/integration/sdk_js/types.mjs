// What the TypeScript compiler reports about several projects, in one process: most of its time goes into the types of browsers and
// of frameworks, which it reads once for all projects with the same options. Run with their tsconfig.json.

import { createRequire } from "node:module";

const ts = createRequire(new URL("../../../sdk/js/package.json", import.meta.url))("typescript");
const format = { getCanonicalFileName: (name) => name, getCurrentDirectory: () => "/", getNewLine: () => "\n" };

/** Options that change which files are read, and not what is read of one. */
const PLACES = ["paths", "pathsBasePath", "configFilePath", "rootDir", "outDir", "types", "typeRoots"];
const files = new Map();

/** A host that parses a file once for all projects with the same options. */
function hostOf(options) {
  const host = ts.createCompilerHost(options);
  const parse = host.getSourceFile;
  const alike = JSON.stringify({ ...options, ...Object.fromEntries(PLACES.map((name) => [name])) });
  host.getSourceFile = (name, how, ...rest) => {
    const key = `${alike} ${JSON.stringify(how, ["languageVersion", "impliedNodeFormat", "jsDocParsingMode"])} ${name}`;
    if (!files.has(key)) files.set(key, parse(name, how, ...rest));
    return files.get(key);
  };
  return host;
}

/** What `tsc --noEmit -p PROJECT` reports. */
function problems(project) {
  const found = [];
  const system = { ...ts.sys, onUnRecoverableConfigFileDiagnostic: (each) => found.push(each) };
  const parsed = ts.getParsedCommandLineOfConfigFile(project, { noEmit: true }, system);
  if (parsed) {
    const { options, fileNames: rootNames, errors: configFileParsingDiagnostics } = parsed;
    const program = ts.createProgram({ rootNames, options, host: hostOf(options), configFileParsingDiagnostics });
    found.push(...ts.getPreEmitDiagnostics(program));
  }
  return ts.formatDiagnostics(found, format);
}

for (const project of process.argv.slice(2)) {
  const report = problems(project);
  if (!report) continue;
  console.log(`${project}\n${report}`);
  process.exitCode = 1;
}
