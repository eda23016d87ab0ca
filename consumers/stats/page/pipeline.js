// The pipeline, one line a stage. A stage that is not well says what is wrong and what to do.

import { element, find, hidden, shape } from "./dom.js";
import { integer, rate } from "./numbers.js";
import { say, translated } from "./words.js";

const LINE_CHARACTERS_MAX = 150;
const STATES = { ok: "stateOk", warning: "stateWarning", wrong: "stateWrong", unknown: "stateUnknown" };

// `isOld`: the state is not up to date, so the page must not say that all is well.
export function showPipeline(health, isOld) {
  const section = document.getElementById("pipeline");
  const state = find("#pipeline-state", section);
  const overall = isOld ? "unknown" : health.state;
  state.replaceChildren(shape(overall), ` ${say(overall)}`);
  state.className = overall;
  find("ul", section).replaceChildren(...health.stages.map(stage));
}

function stage(one) {
  const line = element(
    "p",
    { class: "line" },
    shape(one.state),
    hidden(say(STATES[one.state])),
    element("span", { class: "name" }, say(one.stage)),
    element("span", { class: "amount" }, amount(one)),
  );
  if (one.state === "ok" || isSilent(one)) return element("li", { class: one.state }, line);
  const more = element("p", { class: "more" }, translated(one.what), " ");
  more.append(translated(one.what_to_do), " ");
  more.append(element("a", { href: section(one) }, say("runbook")));
  return element("li", { class: one.state }, line, more);
}

// The stage is not watched, or does not answer: a short text leads to what to do. One with a reason
// is too long for the line.
const isSilent = (one) => one.state === "unknown" && one.number === null && one.what.en.length <= LINE_CHARACTERS_MAX;
const section = (one) => one.runbook.replace(/^docs\/runbook\.md/, "runbook");

// The stage's number. Since when something is wrong is in the text.
function amount(one) {
  const { number, of, unit } = one;
  if (isSilent(one)) return element("a", { href: section(one) }, translated(one.what).replace(/[.。]$/, ""));
  if (number === null) return "";
  const value = unit === "seconds" ? rate(number) : integer(number);
  return say(unit, { value, all: of });
}
