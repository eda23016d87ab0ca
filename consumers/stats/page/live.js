// The updates of /v1/live, as Server-Sent Events. They are read with fetch, because EventSource cannot
// send a token. After a lost connection the API repeats what was missed (Last-Event-ID).

import { address, open, Problem } from "./api.js";

const WAIT_MS_MIN = 500;
const WAIT_MS_MAX = 8_000;
// The API sends an update every second, or a ping every 5 s while it has none. A connection that is silent for longer is dead.
const SILENCE_MS_MAX = 8_000;

// Calls `on.now(data)` and `on.health(data)` until `signal` is aborted.
export async function listen(parameters, on, signal) {
  let last = "";
  let wait = WAIT_MS_MIN;
  while (!signal.aborted) {
    try {
      for await (const event of events(parameters, last, signal)) {
        wait = WAIT_MS_MIN;
        last = event.id || last;
        on[event.name]?.(event.data);
      }
    } catch (failure) {
      if (signal.aborted) return;
      if (!(failure instanceof Problem || failure.name === "AbortError" || failure instanceof TypeError)) throw failure;
    }
    await pause(wait, signal);
    wait = Math.min(wait * 2, WAIT_MS_MAX);
  }
}

async function* events(parameters, last, signal) {
  const silent = new AbortController();
  const any = AbortSignal.any([signal, silent.signal]);
  let timer = setTimeout(() => silent.abort(), SILENCE_MS_MAX);
  try {
    const headers = last ? { "Last-Event-ID": last } : {};
    const answer = await open(address("live", parameters), "text/event-stream", any, headers);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), SILENCE_MS_MAX);
      text = (text + value).replaceAll("\r\n", "\n");
      const whole = text.split("\n\n");
      text = whole.pop();
      for (const block of whole) {
        const event = parsed(block);
        if (event.data !== undefined) yield event;
      }
    }
  } finally {
    clearTimeout(timer);
    silent.abort();
  }
}

function parsed(block) {
  const fields = { event: "message", id: "", data: [] };
  for (const line of block.split("\n")) {
    const at = line.indexOf(":");
    if (at <= 0) continue;
    const value = line.slice(at + 1).replace(/^ /, "");
    if (line.startsWith("data:")) fields.data.push(value);
    else fields[line.slice(0, at)] = value;
  }
  const data = fields.data.length ? JSON.parse(fields.data.join("\n")) : undefined;
  return { name: fields.event, id: fields.id, data };
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
