// OpenAI's own client.
//
//   node with_openai.js http://127.0.0.1:8000/v1 all-MiniLM-L6-v2 "a text" "another text"
import OpenAI from "openai";

const [baseURL, model, ...input] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "any" });

// By default the client asks for base64 and decodes it.
const byDefault = await client.embeddings.create({ model, input });
const asFloats = await client.embeddings.create({ model, input, encoding_format: "float" });

const refused = await client.embeddings
  .create({ model, input: "word ".repeat(1000) })
  .catch((error) => ({ status: error.status, code: error.code, message: error.message }));

console.log(
  JSON.stringify({
    documents: byDefault.data.map((entry) => Array.from(entry.embedding)),
    prompt_tokens: byDefault.usage.prompt_tokens,
    float_documents: asFloats.data.map((entry) => entry.embedding),
    refused,
  }),
);
