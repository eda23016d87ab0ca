// The four numbers at the top, each against yesterday until the same time: the same span of both days.

import { element, find, hidden } from "./dom.js";
import { fixed, integer, people, percent, rate } from "./numbers.js";
import { sparkline } from "./sparkline.js";
import { say } from "./words.js";

const DIRECTIONS = { "-1": "▼", 0: "=", 1: "▲" };

export function showFigures({ summary, comparison, live, minutesYesterday, hours }) {
  const { now, today } = summary;
  const { today: part, yesterday_until_now: before } = comparison ?? {};
  // Without the hour that is not over: it would look like a fall.
  const sparklines = Object.fromEntries(Object.entries(summary.sparklines).map(([name, values]) => [name, values.slice(0, -1)]));
  const perSecond = live?.perSecond ?? now.messages_per_second;
  const active = live?.people ?? now.people;
  const label = element("span", {}, ...withPeople(say("nowPeople", { people: "\0" }), active));
  show("now", [rate(perSecond), unit(say("perSecond"))], label, comparison ? change(perSecond, minutesYesterday) : "", sparkline(sparklines.messages));

  const sum = today.figures.messages;
  const running = hours && { today: runningSum(hours.today), before: runningSum(hours.yesterday) };
  show("messages", [integer(sum)], say("messagesToday"), changeOf(part, before, "end", change, messagesOf), running ? sparkline(running.today, running.before) : sparkline(sparklines.messages));

  const seen = today.people.active ?? { value: 0, error: 0 };
  show("people", countOf(seen), say("peopleToday"), changeOf(part, before, "people_until", change, activeOf), sparkline(sparklines.people));

  const undeliveredShare = share(today.figures);
  const shares = sparklines.undelivered.map((count, index) => (sparklines.messages[index] ? count / sparklines.messages[index] : 0));
  show("undelivered", undeliveredShare === null ? ["–"] : [fixed(undeliveredShare * 100, 2), unit("%")], say("notDeliveredToday"), changeOf(part, before, "end", points, (period) => share(period.figures)), sparkline(shares));
}

export const messagesOf = (period) => period.figures.messages;
const activeOf = (period) => period.people.active?.value ?? null;

// The share of messages that were not delivered; null without messages.
const share = (figures) => (figures.messages ? figures.undelivered / figures.messages : null);

// Whether both periods have a span that ends with `end`: people are known for whole quarter hours.
export const haveSpan = (part, before, end) => [part, before].every((period) => Date.parse(period[end]) > Date.parse(period.begin));

function changeOf(part, before, end, differ, numberOf) {
  if (!part) return "";
  return haveSpan(part, before, end) ? differ(numberOf(part), numberOf(before)) : say("tooEarly");
}

// {sign, value}: how much `now` differs from `before`; null if there is nothing to compare with.
export function compared(now, before) {
  if (!before) return null;
  const part = now / before - 1;
  // 1,752.3 % more is hard to imagine; 18 times as much is not.
  const value = part < 9 ? percent(Math.abs(part)) : `×${rate(now / before)}`;
  const sign = value === percent(0) ? 0 : Math.sign(part);
  return { sign, value };
}

function change(now, before) {
  if (now === null || before === null) return say("unknownBefore");
  const found = compared(now, before);
  return found === null ? say("noneBefore") : arrow(found.sign, found.value);
}

function points(now, before) {
  if (now === null) return say("noneToday");
  if (before === null) return say("noneBefore");
  const value = fixed(Math.abs(now - before) * 100, 2);
  const sign = value === fixed(0, 2) ? 0 : Math.sign(now - before);
  return arrow(sign, say("points", { value }));
}

function arrow(sign, value) {
  return sign === 0 ? `= ${say("same")}` : `${DIRECTIONS[sign]} ${value} ${say("versus")}`;
}

function runningSum(values) {
  let sum = 0;
  return values.map((value) => (value === null ? null : (sum += value)));
}

const unit = (text) => element("span", { class: "unit" }, text);

function countOf(count) {
  if (!count.error) return [integer(count.value)];
  const error = say("estimated", { error: percent(count.error) });
  return [element("button", { type: "button", class: "estimated", "data-error": error, "aria-label": `${people(count)}, ${error}` }, people(count))];
}

function withPeople(sentence, count) {
  const [head, tail] = sentence.split("\0");
  return [head, people(count), ...(count.error ? [hidden(` (${say("estimated", { error: percent(count.error) })})`)] : []), tail];
}

function show(id, value, label, changed, spark) {
  const box = document.getElementById(id);
  replace(find(".value", box), value);
  find(".label", box).replaceChildren(label);
  find(".change", box).replaceChildren(changed);
  find(".spark", box).replaceChildren(spark);
}

// A reader who has focused the button with the error keeps the focus.
function replace(node, children) {
  const focused = node.contains(document.activeElement);
  node.replaceChildren(...children);
  if (focused) find("button", node)?.focus();
}
