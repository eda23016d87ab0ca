// What the three charts show: their lines, tables and sentences, made of the API's answers.

import { address } from "./api.js";
import { compared, haveSpan, messagesOf } from "./figures.js";
import * as n from "./numbers.js";
import { KEPT_S } from "./state.js";
import { say } from "./words.js";

const seconds = (at) => Date.parse(at) / 1000;
const sum = (values) => values.reduce((all, value) => all + value, 0);
const joinParts = (parts) => parts.filter(Boolean).join(" · ");

// `live` are points {at, rate}, two seconds apart; minutes stand in for the time before the first of them.
export function liveSpec({ live, minutes, summary, asked }) {
  const end = live.length ? live.at(-1).at : seconds(summary.now.until);
  const first = live.length ? live[0].at : Infinity;
  const earlier = minutes.map((row) => ({ at: seconds(row.end), rate: row.figures.messages / 60 })).filter(({ at }) => at < first && at <= end);
  const points = [...earlier, ...live].filter(({ at }) => at >= end - KEPT_S);
  const rates = points.map(({ rate }) => rate);
  const start = Math.ceil((end - KEPT_S) / 180) * 180;
  const minute = (at) => n.clock(at * 1000);
  return {
    x: points.length ? points.map(({ at }) => at) : [end],
    range: [end - KEPT_S, end],
    splits: Array.from({ length: 5 }, (_, index) => start + index * 180).filter((at) => at <= end - 20),
    nameOf: minute,
    endRoom: 8,
    lines: [{ values: points.length ? rates : [null], colour: "--accent", fill: "--wash", dot: "full" }],
    readout: (index) => (points[index] ? joinParts([n.clockSeconds(points[index].at * 1000), `${n.rate(points[index].rate)} ${say("perSecond")}`]) : ""),
    said: say("saidLive", { now: n.rate(rates.at(-1) ?? 0), peak: n.rate(Math.max(0, ...rates)) }),
    csv: address("series", { ...asked, step: "minute", from: minutes[0]?.begin, format: "csv" }),
    head: [say("time"), say("messages"), say("perSecond")],
    rows: minutes.map((row) => [n.clock(row.begin), n.integer(row.figures.messages), n.rate(row.figures.messages / 60)]).reverse(),
  };
}

// Hours are those on the wall. When clocks go back, one of them has the messages of two.
export function byHour(rows) {
  const hours = Array(24).fill(null);
  for (const row of rows) {
    const hour = n.hourOf(row.begin);
    hours[hour] = (hours[hour] ?? 0) + row.figures.messages;
  }
  return hours;
}

export function todaySpec({ hours, summary, comparison, asked }) {
  const { today, yesterday, lastWeek } = hours;
  const running = today.findLastIndex((value) => value !== null);
  const count = (label, value) => (value === null ? "" : `${label} ${n.integer(value)}`);
  const named = (index) => (index === running ? say("unfinished", { label: say("today") }) : say("today"));
  const finished = today.map((value, index) => (index === running ? null : value));
  const isFirst = finished.every((value) => value === null);
  return {
    x: Array.from({ length: 24 }, (_, index) => index),
    range: [0, 23],
    splits: [0, 3, 6, 9, 12, 15, 18, 21],
    nameOf: n.hour,
    endRoom: 72,
    lines: [
      { label: say("lastWeek"), values: lastWeek, colour: "--quiet", dash: [2, 4], width: 1.5 },
      { label: say("yesterday"), values: yesterday, colour: "--quiet", dash: [8, 4], width: 1.5 },
      { label: isFirst ? "" : say("today"), values: finished, colour: "--accent", width: 2.5, dot: "full" },
      // The hour that is not over is a hollow dot: a line to it would look like a fall.
      { label: isFirst ? say("today") : "", values: today.map((value, index) => (index === running ? value : null)), colour: "--accent", dot: "hollow" },
    ],
    readout: (index) => joinParts([n.hourRange(index), count(named(index), today[index]), count(say("yesterday"), yesterday[index]), count(say("lastWeek"), lastWeek[index])]),
    said: saidToday(today, summary, comparison),
    csv: address("series", { ...asked, step: "hour", from: summary.today.begin.slice(0, 10), format: "csv" }),
    head: [say("hour"), say("today"), say("yesterday"), say("lastWeek")],
    rows: today.map((value, index) => [n.hourRange(index), ...[value, yesterday[index], lastWeek[index]].map((one) => (one === null ? "–" : n.integer(one)))]),
  };
}

function saidToday(today, summary, { today: part, yesterday_until_now: before }) {
  const total = summary.today.figures.messages;
  if (!total) return say("saidTodayNone");
  const found = compared(messagesOf(part), messagesOf(before));
  const change = !haveSpan(part, before, "end") ? say("tooEarly") : found === null ? say("noneBefore") : found.sign === 0 ? say("same") : say(found.sign > 0 ? "saidMore" : "saidFewer", found);
  const peak = Math.max(...today.filter((value) => value !== null), 0);
  return say("saidToday", { total: n.integer(total), change, hour: n.hourRange(Math.max(today.indexOf(peak), 0)), peak: n.integer(peak) });
}

export function daysSpec({ days, asked }) {
  const last = days.length - 1;
  const messages = days.map((row) => row.figures.messages);
  const active = days.map((row) => row.people.active ?? { value: 0, error: 0 });
  // Noon, so that a day has the same name in every zone near the one that was asked for.
  const at = (index) => Date.parse(days[index].begin) + 12 * 3600_000;
  const named = (index) => (index === last ? say("unfinished", { label: n.day(at(index)) }) : n.day(at(index)));
  const best = messages.indexOf(Math.max(...messages));
  return {
    x: days.map((_, index) => index),
    range: [-0.7, last + 0.7],
    splits: days.map((_, index) => index).filter((index) => (last - index) % 7 === 0),
    nameOf: (index) => (days[index] ? n.dayShort(at(index)) : ""),
    endRoom: 0,
    headroom: 1.5,
    lines: [
      { values: messages.map((value, index) => (index === last ? null : value)), colour: "--bars", bars: true },
      { values: messages.map((value, index) => (index === last ? value : null)), colour: "--tint", bars: true },
      { label: say("people"), values: active.map(({ value }, index) => (index === last ? null : value)), colour: "--ink", width: 1.5, scale: "y2", dot: "full" },
      { values: active.map(({ value }, index) => (index === last ? value : null)), colour: "--ink", scale: "y2", dot: "hollow" },
    ],
    readout: (index) => joinParts([named(index), `${say("messages")} ${n.integer(messages[index])}`, `${say("people")} ${n.people(active[index])}`]),
    said: say("saidDays", { total: n.integer(sum(messages)), day: n.day(at(best)), peak: n.integer(messages[best]), people: n.integer(Math.max(...active.map(({ value }) => value))) }),
    csv: address("series", { ...asked, step: "day", from: days[0].begin.slice(0, 10), format: "csv" }),
    head: [say("day"), say("messages"), say("people")],
    rows: days.map((_, index) => [named(index), n.integer(messages[index]), n.people(active[index])]).reverse(),
  };
}
