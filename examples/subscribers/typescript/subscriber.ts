// Keep each message in a file of its own, once.
import { link, mkdir, rm, writeFile } from "node:fs/promises";
import { decompress } from "fzstd";
import kafkajs, { type KafkaMessage } from "kafkajs";

const { CompressionCodecs, CompressionTypes, Kafka } = kafkajs;
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: () => Promise.reject(new Error("this program only reads")),
  decompress: async (batch: Buffer) => Buffer.from(decompress(batch)),
});
const MESSAGES = ["C2C.CallbackAfterSendMsg", "Group.CallbackAfterSendMsg"];
const { EFFECTS = "effects", GROUP = "my-team", KAFKA = "127.0.0.1:9094" } = process.env;

async function keep({ headers, value }: KafkaMessage) {
  if (!MESSAGES.includes(`${headers?.ce_type}`)) return;
  const path = `${EFFECTS}/${headers?.ce_id}`, part = `${path}.${crypto.randomUUID()}.part`;
  await writeFile(part, value ?? "", { flush: true });
  // The name drops repeats. A Set in memory is empty after a restart, and lacks what others have kept.
  await link(part, path).catch((error) => { if (error.code !== "EEXIST") throw error; });
  await rm(part);
}

await mkdir(EFFECTS, { recursive: true });
const consumer = new Kafka({ clientId: GROUP, brokers: KAFKA.split(",") })
  .consumer({ groupId: GROUP, sessionTimeout: 10_000, readUncommitted: false });
consumer.on("consumer.crash", ({ payload }) => { if (!payload.restart) process.exit(1); });
const running = consumer.connect()
  .then(() => consumer.subscribe({ topic: "tim.callbacks.v1", fromBeginning: true }))
  .then(() => consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch: { topic, partition, messages }, heartbeat, isRunning, isStale }) => {
      for (const message of messages) {
        if (!isRunning() || isStale()) return;
        await keep(message);
        await heartbeat();
      }
      await consumer.commitOffsets([{ topic, partition, offset: `${BigInt(messages.at(-1)!.offset) + 1n}` }]);
    },
  }));
process.once("SIGTERM", () => running.then(() => consumer.disconnect()));
