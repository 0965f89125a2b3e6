// Short names for the members that begin with an underscore, which are ours alone.
//
// esbuild gives each a name of its own, and there are more of them than names of one letter. But two members may have the same short
// name where no object has both. Which objects there are is in the sources: classes with what they extend and implement, interfaces,
// types and literals. An optional member may be looked for in an object of another type, so it shares its name with no other.

import { readdirSync, readFileSync } from "node:fs";
import ts from "typescript";

const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ$_";

/** What the sources have: the members that one object may have, as sets; those that are optional; and how often each is used. */
function declared(folder) {
  const literals = [];
  const types = new Map(); // by name: its members, and the names of the types that it includes
  const optional = new Set();
  const uses = new Map();
  const taken = new Set(); // names of one letter that are not ours

  function members(node) {
    const parameters = node.members?.filter(ts.isConstructorDeclaration).flatMap((each) => [...each.parameters]) ?? [];
    const all = [...(node.members ?? node.properties), ...parameters.filter((each) => each.modifiers)];
    const named = all.filter(({ name }) => name && ts.isIdentifier(name));
    for (const { name, questionToken } of named) if (questionToken) optional.add(name.text);
    return new Set(named.map(({ name }) => name.text));
  }
  function visit(node) {
    if (ts.isIdentifier(node)) {
      if (node.text.startsWith("_")) uses.set(node.text, (uses.get(node.text) ?? 0) + 1);
      else if (node.text.length === 1 && ts.isPropertyAccessExpression(node.parent) && node.parent.name === node)
        taken.add(node.text);
    }
    if (ts.isClassDeclaration(node) || ts.isInterfaceDeclaration(node)) {
      const includes = (node.heritageClauses ?? []).flatMap((each) =>
        each.types.map(({ expression }) => expression.text),
      );
      const before = types.get(node.name.text); // another one of this name, in another file
      const has = new Set([...members(node), ...(before?.has ?? [])]);
      types.set(node.name.text, { has, includes: [...includes, ...(before?.includes ?? [])] });
    } else if (ts.isTypeLiteralNode(node) || ts.isObjectLiteralExpression(node)) literals.push(members(node));
    ts.forEachChild(node, visit);
  }
  for (const name of readdirSync(folder, { recursive: true }).sort())
    if (name.endsWith(".ts"))
      visit(ts.createSourceFile(name, readFileSync(`${folder}/${name}`, "utf8"), ts.ScriptTarget.Latest, true));

  const whole = (name) => {
    const { has = [], includes = [] } = types.get(name) ?? {};
    return [...has, ...includes.flatMap(whole)];
  };
  return { objects: [...literals, ...[...types.keys()].map((name) => new Set(whole(name)))], optional, uses, taken };
}

/** The short names by the long ones, of the sources in a folder: those that are used most have the first letters. */
export function shortNames(folder = "src") {
  const { objects, optional, uses, taken } = declared(folder);
  const names = [...new Set(objects.flatMap((has) => [...has]))].filter((name) => name.startsWith("_"));
  names.sort((a, b) => uses.get(b) - uses.get(a) || (a < b ? -1 : 1));
  const together = (a, b) => optional.has(a) || optional.has(b) || objects.some((has) => has.has(a) && has.has(b));
  const short = new Map();
  for (const name of names) {
    const others = [...short].filter(([other]) => together(name, other)).map(([, letter]) => letter);
    const free = [...LETTERS].find((letter) => !others.includes(letter) && !taken.has(letter));
    if (free) short.set(name, free); // else esbuild finds one
  }
  return Object.fromEntries(short);
}
