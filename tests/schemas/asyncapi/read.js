// AsyncAPI's own parser: what it finds wrong with a document, and what it reads in it.
//
//   node read.js asyncapi.json
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const WARNING = 1; // and above it errors, 0; 2 and 3 are hints
const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
const faults = diagnostics.filter(({ severity }) => severity <= WARNING);
console.log(
  JSON.stringify({
    faults: faults.map(({ path, message }) => `${path.join(".")}: ${message}`),
    channels: Object.fromEntries((document?.channels().all() ?? []).map((one) => [one.id(), one.address()])),
    operations: (document?.operations().all() ?? []).map((one) => ({
      id: one.id(),
      action: one.action(),
      channel: one.channels().all()[0].id(),
      messages: one.messages().all().map((message) => message.name()),
      replyAddress: one.reply()?.address()?.location() ?? null,
    })),
  }),
);
