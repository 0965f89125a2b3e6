// What a panel subscribes to, as a program that can be pasted: with the SDKs, and the query in SQL.

/** @typedef {Record<string, any>} Query in the form of the protocol */
/** @typedef {{language: "TypeScript"|"Python"|"SQL", code: string}} Snippet */

const address = () => location.origin;
const snake = (/** @type {string} */ name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** In SQL: a text, a number, true, false or null. @param {unknown} value */
const literal = (value) => (typeof value === "string" ? `'${value.replaceAll("'", "''")}'` : String(value));

/** In Python. @param {unknown} value */
const python = (value) =>
  value === null ? "None" : typeof value === "boolean" ? (value ? "True" : "False") : JSON.stringify(value);

/** A program with a client named `realtime`. @param {string[]} lines @returns {Snippet} */
const typeScriptProgram = (lines) => ({
  language: "TypeScript",
  code: [
    `import { Realtime } from "@bunbase/sdk";`,
    "",
    `const realtime = new Realtime({ url: ${JSON.stringify(address())} });`,
    ...lines,
  ].join("\n"),
});

/** The same. @param {string[]} lines @returns {Snippet} */
const pythonProgram = (lines) => ({
  language: "Python",
  code: [
    "import asyncio",
    "",
    "from bunbase import Realtime",
    "",
    "",
    "async def main() -> None:",
    `    async with Realtime(${python(address())}) as realtime:`,
    ...lines.map((line) => `        ${line}`),
    "",
    "",
    "asyncio.run(main())",
  ].join("\n"),
});

/**
 * A live query.
 * @param {string} collection
 * @param {Query} query
 * @returns {Snippet[]}
 */
export function liveQuery(collection, query) {
  const calls = (/** @type {(name: string) => string} */ named, /** @type {(value: unknown) => string} */ value) => [
    `.collection(${value(collection)})`,
    ...(query.where ?? []).map((/** @type {unknown[]} */ each) => `.where(${each.map(value).join(", ")})`),
    ...(query.orderBy ?? []).map(
      (/** @type {unknown[]} */ each) => `.${named("orderBy")}(${each.map(value).join(", ")})`,
    ),
    ...(query.limit ? [`.limit(${query.limit})`] : []),
  ];
  const js = (/** @type {unknown} */ value) => JSON.stringify(value);
  const inTypeScript = query.sql
    ? [`.collection(${js(collection)})`, `.sql(\`\n${indented(query.sql, 4)}\n  \`)`]
    : calls((name) => name, js);
  const inPython = query.sql
    ? [`.collection(${python(collection)})`, `.sql("""\n${indented(query.sql, 16)}\n            """)`]
    : calls(snake, python);
  return [
    typeScriptProgram([
      `realtime.database()`,
      ...inTypeScript.map((call) => `  ${call}`),
      `  .onSnapshot(({ docs }) => console.log(docs.map((doc) => doc.data())));`,
    ]),
    pythonProgram([
      `query = (`,
      `    realtime.database()`,
      ...inPython.map((call) => `    ${call}`),
      `)`,
      `async with query.snapshots() as snapshots:`,
      `    async for snapshot in snapshots:`,
      `        print([doc.data for doc in snapshot.docs])`,
    ]),
    { language: "SQL", code: query.sql ? `${query.sql};` : inSql(collection, query) },
  ];
}

/** The statement whose result the query keeps. @param {string} collection @param {Query} query */
function inSql(collection, { where = [], orderBy = [], limit }) {
  const conditions = where.map(
    (/** @type {[string, string, unknown]} */ [field, operator, value]) =>
      `${snake(field)} ${operator === "==" ? "=" : operator} ${literal(value)}`,
  );
  const order = orderBy.map((/** @type {[string, string]} */ [field, direction]) => `${snake(field)} ${direction}`);
  return [
    `select * from ${collection}`,
    ...(conditions.length ? [`where ${conditions.join("\n  and ")}`] : []),
    ...(order.length ? [`order by ${order.join(", ")}`] : []),
    ...(limit ? [`limit ${limit}`] : []),
  ]
    .join("\n")
    .concat(";");
}

/**
 * A channel with history and presence, to which a message is sent.
 * @param {string} channel
 * @param {string} event
 * @returns {Snippet[]}
 */
export function channelOf(channel, event) {
  const [name, about, data] = [channel, event, { text: "Hello!", name: "Ada" }].map((each) => JSON.stringify(each));
  return [
    typeScriptProgram([
      `const channel = realtime.channel(${name}, { history: 50, presence: true });`,
      `channel.on(${about}, (message) => console.log(message.sender, message.data));`,
      `await channel.subscribe();`,
      `await channel.send(${about}, ${data});`,
    ]),
    pythonProgram([
      `channel = realtime.channel(${name}, history=50, presence=True)`,
      `channel.on(${about}, lambda message: print(message.sender, message.data))`,
      `await channel.subscribe()`,
      `await channel.send(${about}, ${data})`,
      `await asyncio.sleep(60)`,
    ]),
    {
      language: "SQL",
      code: `-- in any transaction: subscribers receive it when that commits\nselect realtime.broadcast(${[channel, event, data].map(literal).join(", ")});`,
    },
  ];
}

const indented = (/** @type {string} */ text, /** @type {number} */ by) =>
  text
    .split("\n")
    .map((line) => " ".repeat(by) + line)
    .join("\n");
