// Print each callback of a webhook once, after its signature was verified. Needs no packages.
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { appendFileSync } from "node:fs";
import { createServer } from "node:http";

const secret = Buffer.from(process.env.WEBHOOK_SECRET.replace(/^whsec_/, ""), "base64");
const log = process.env.LOG; // a file to which each accepted request is added, for hookline audit
const seen = new Set(); // yours belongs into your database, beside the effect

// Whether one of the signatures is ours, and at most 5 minutes old.
function isSigned(event, at, signatures, body) {
  if (!/^\d+$/.test(at) || Math.abs(Date.now() / 1000 - Number(at)) > 300) return false;
  const digest = createHmac("sha256", secret).update(`${event}.${at}.`).update(body).digest("base64");
  const expected = Buffer.from(`v1,${digest}`);
  return signatures.split(" ").some((each) => {
    const given = Buffer.from(each);
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
}

createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  const { "webhook-id": event = "", "webhook-timestamp": at = "" } = request.headers;
  const signatures = request.headers["webhook-signature"] ?? "";
  const body = Buffer.concat(parts);
  const signed = isSigned(event, at, signatures, body);
  if (signed && !seen.has(event)) {
    seen.add(event);
    console.log(request.headers["ce-type"], event);
  }
  if (signed && log) {
    const [origin, sequence] = [request.headers["ce-origin"], Number(request.headers["ce-sequence"])];
    const sha256 = createHash("sha256").update(body).digest("hex");
    appendFileSync(log, JSON.stringify({ id: event, origin, sequence, sha256 }) + "\n");
  }
  response.writeHead(signed ? 204 : 401).end();
}).listen(Number(process.env.PORT), "127.0.0.1");
