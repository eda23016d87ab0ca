// The pipeline, one line a stage. A stage that is not well says what is wrong and what to do.

import { element, find, hidden, shape, text } from "./dom.js";
import { clock, dayAndClock, whole } from "./numbers.js";
import { ours, say } from "./words.js";

const DAY_MS = 86_400_000;
const STATES = { ok: "stateOk", warning: "stateWarning", wrong: "stateWrong", unknown: "stateUnknown" };

// `isOld`: nothing was heard of it for a while, so nobody may read that all is well.
export function showPipeline(health, isOld) {
  const section = document.getElementById("pipeline");
  const state = find("#pipeline-state", section);
  const overall = isOld ? "unknown" : health.state;
  state.replaceChildren(shape(overall), ` ${say(overall)}`);
  state.className = overall;
  find("ul", section).replaceChildren(...health.stages.map(stage));
}

function stage(one) {
  const line = element("p", { class: "line" }, shape(one.state), hidden(say(STATES[one.state])), element("span", { class: "name" }, say(one.stage)), element("span", { class: "amount" }, amount(one)));
  if (one.state === "ok" || one.state === "unknown") return element("li", { class: one.state }, line);
  const more = element("p", { class: "more" }, ours(one.what), " ");
  more.append(ours(one.what_to_do), " ");
  more.append(element("a", { href: one.runbook.replace(/^docs\/runbook\.md/, "runbook") }, say("runbook")));
  return element("li", { class: one.state }, line, more);
}

// The stage's number; if something is wrong, also since when.
function amount({ number, unit, state, since, what }) {
  if (number === null && !since) return state === "ok" ? "" : ours(what);
  const value = number === null ? "" : measured(number, unit);
  if (state === "ok" || !since) return value;
  const time = Date.now() - Date.parse(since) < DAY_MS ? clock(since) : dayAndClock(since);
  return [value, say("since", { time })].filter(Boolean).join(say("comma"));
}

function measured(number, unit) {
  const value = /^\d{4,}$/.test(number) ? whole(Number(number)) : number;
  if (!unit) return value;
  if (unit.startsWith("of ")) return say("ofAll", { value, all: unit.slice(3) });
  return unit === "waiting" ? say("waiting", { value }) : `${value} ${unit}`;
}
