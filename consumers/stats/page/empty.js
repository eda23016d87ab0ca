// Before the first callback: how to send one.

import { find, text } from "./dom.js";
import { say } from "./words.js";

const APP = "1400000001";

function command() {
  const at = Math.floor(Date.now() / 1000);
  const body = {
    CallbackCommand: "C2C.CallbackAfterSendMsg",
    From_Account: "alice",
    To_Account: "bob",
    MsgSeq: 1,
    MsgRandom: at,
    MsgTime: at,
    MsgKey: `1_${at}_${at}`,
    SendMsgResult: 0,
    MsgBody: [{ MsgType: "TIMTextElem", MsgContent: { Text: "hello" } }],
  };
  const query = `SdkAppid=${APP}&CallbackCommand=${body.CallbackCommand}&OptPlatform=iOS`;
  return `curl "http://${location.hostname || "127.0.0.1"}:8080/?${query}" \\\n  --data '${JSON.stringify(body)}'`;
}

export function showEmpty(isEmpty) {
  const section = find("#empty");
  if (isEmpty && section.hidden) text(find("code", section), command());
  section.hidden = !isEmpty;
  document.body.classList.toggle("empty", isEmpty);
}

export async function copy(event) {
  const button = event.currentTarget;
  await navigator.clipboard.writeText(find("#empty code").textContent);
  text(button, say("copied"));
  setTimeout(() => text(button, say("copy")), 2000);
}
