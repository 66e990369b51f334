// KafkaJS: one request a text, each reply found by its correlation id.
//
//   node with_kafkajs.js 127.0.0.1:9092 embedding all-MiniLM-L6-v2 "a text" "another text"
import { randomUUID } from "node:crypto";
import { Kafka, Partitioners, logLevel } from "kafkajs";

const WAIT_MS = 60_000;
const [bootstrap, prefix, model, ...texts] = process.argv.slice(2);
const kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.ERROR });
setTimeout(() => {
  console.error(`no replies within ${WAIT_MS} ms: is a worker running?`);
  process.exit(1);
}, WAIT_MS).unref();

// 1. Listen before anything is sent. A group of our own: in a shared one, replies would go to other members.
//    From the beginning: KafkaJS cannot tell when it has found "the end", and a reply might come before that.
const replies = `${prefix}.replies`;
const consumer = kafka.consumer({ groupId: `with-kafkajs-${randomUUID()}` });
await consumer.connect();
await consumer.subscribe({ topic: replies, fromBeginning: true });

const waiting = new Map(); // correlation id -> what its reply resolves
const replyTo = (correlationId) => new Promise((resolve) => waiting.set(correlationId, resolve));
await consumer.run({
  eachMessage: async ({ message }) => {
    const resolve = waiting.get(message.headers.kafka_correlationId?.toString());
    resolve?.({ key: message.key.toString(), response: JSON.parse(message.value.toString()) });
  },
});

// 2. Ask, on the lane for callers who wait.
const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
await producer.connect();
const requests = texts.map((input) => ({ id: randomUUID(), model, input }));
const answers = Promise.all(requests.map(({ id }) => replyTo(id)));
await producer.send({
  topic: `${prefix}.requests.interactive`,
  messages: requests.map((request) => ({
    key: request.id,
    value: JSON.stringify(request),
    headers: {
      kafka_correlationId: request.id,
      kafka_replyTopic: replies,
      deadline: String(Date.now() + WAIT_MS),
    },
  })),
});

// 3. Each reply is keyed by its request's id, in whatever order they came.
const replied = await answers;
console.log(
  JSON.stringify({
    ids: requests.map(({ id }) => id),
    keys: replied.map(({ key }) => key),
    vectors: replied.map(({ response }) => response.data[0].embedding),
  }),
);
await producer.disconnect();
await consumer.disconnect();
