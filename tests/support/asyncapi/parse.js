// Prints the findings of the AsyncAPI parser in each document: node parse.js PARSER DOCUMENT... The
// parser's file is made for browsers; it needs `self` and no package.

const { readFileSync } = require("node:fs");
const { runInThisContext } = require("node:vm");

const [parser, ...texts] = process.argv.slice(2).map((path) => readFileSync(path, "utf8"));
globalThis.self = globalThis;
runInThisContext(parser);

async function main() {
  const results = [];
  for (const text of texts) {
    const { document, diagnostics } = await new AsyncAPIParser().parse(text);
    const messages = document?.messages().all().map((message) => message.id()) ?? [];
    results.push({ messages, diagnostics });
  }
  console.log(JSON.stringify(results));
}

main();
