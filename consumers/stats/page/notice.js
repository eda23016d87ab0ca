// The notice at the top: why the statistics cannot be read, or which parameter of the address is refused.

import { element, find, shape } from "./dom.js";
import { clock } from "./numbers.js";
import { say } from "./words.js";

// `until` is the time of the figures that are shown, undefined if there are none.
export function showNotice({ problem, view, until }) {
  const notice = find("#notice");
  const words = problem === null ? "" : problem.parameter ? refusal(problem, view) : failure(problem, until);
  notice.hidden = problem === null;
  // A screen reader reads the notice again whenever it is replaced.
  if (notice.dataset.words === words) return;
  notice.dataset.words = words;
  notice.replaceChildren(...(words ? [shape("wrong"), element("span", {}, words)] : []));
  // The page handles the click.
  if (problem?.parameter) notice.append(element("button", { type: "button" }, say("showAll")));
}

function refusal({ parameter }, view) {
  if (parameter === "app") return say("refusedApp", { value: view.app });
  if (parameter === "tz") return say("refusedZone", { value: view.zone });
  return say("refused", { parameter });
}

function failure(problem, until) {
  return until ? say("unreadable", { reason: reason(problem), time: clock(until) }) : say("unreadableNone", { reason: reason(problem) });
}

function reason({ status, isOfApi }) {
  if (status === 0) return say("noAnswer");
  if (isOfApi && status === 503) return say("noStore");
  return isOfApi && status === 500 ? say("failed") : say("otherStatus", { status });
}
