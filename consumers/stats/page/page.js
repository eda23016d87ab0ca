// The page: what it shows, when it asks the API, and what a change of the view does.

import { keep, themeAfter, view } from "./address.js";
import { ask, Problem, save } from "./api.js";
import { forgetColours } from "./charts.js";
import { showChoices, showLooks } from "./choices.js";
import { element, find, hidden, set, shape, text } from "./dom.js";
import { copy, showEmpty } from "./empty.js";
import { showFigures } from "./figures.js";
import { listen } from "./live.js";
import { showNotice } from "./notice.js";
import { percent, readBy } from "./numbers.js";
import { panel } from "./panel.js";
import { showPipeline } from "./pipeline.js";
import { showRanked } from "./ranked.js";
import { byHour, daysSpec, liveSpec, todaySpec } from "./specs.js";
import { say, speak } from "./words.js";

const KINDS = ["type", "platform", "app", "command"];
// Far less than the time between two updates: each one with news is followed by a summary.
const SUMMARY_MS = 500;
const QUIET_SUMMARY_MS = 30_000;
const EVERYTHING_MS = 60_000;
const RETRY_MS = 5_000;
const STALE_MS = 6_000;
const NOW_S = 10;
// Updates come every second; the chart has a point for two of them.
const POINT_S_MIN = 1.5;
const KEPT_S = 900;

const now = () => performance.now();
const shown = view();
let known = nothing();
let stop = new AbortController();
const panels = { live: panel("live", flip), today: panel("today", flip), days: panel("days", flip) };

// Everything that the API has said about this view. `asking` keeps requests from overlapping.
function nothing() {
  return { apps: null, summary: null, health: null, minutes: [], minutesYesterday: null, hours: null, days: null, by: {}, live: [], people: null, started: now(), heard: 0, updated: 0, summaryAt: 0, everythingAt: 0, asking: false, news: false, problem: null };
}

const asked = () => ({ app: shown.app, tz: known.summary?.zone ?? shown.zone });

function start() {
  speak(shown.language);
  readBy(shown.language, shown.zone || undefined);
  showLooks(shown);
  stop.abort();
  stop = new AbortController();
  known = { ...nothing(), apps: known.apps, health: known.health };
  set(find("main"), "aria-busy", "true");
  everything(stop.signal);
  const since = new Date(Date.now() - KEPT_S * 1000).toISOString();
  listen({ app: shown.app, since }, { now: heardNow, health: heardHealth }, stop.signal);
}

// Asks for what `question` asks for, and shows it; a failure is shown and tried again later.
async function asking(question, signal) {
  if (known.asking) return;
  const mine = known;
  mine.asking = true;
  try {
    await question(mine, signal);
    mine.problem = null;
    mine.updated = now();
  } catch (failure) {
    if (signal.aborted) return;
    if (!(failure instanceof Problem)) throw failure;
    mine.problem = failure;
    mine.everythingAt = now() - EVERYTHING_MS + RETRY_MS;
  } finally {
    mine.asking = false;
    if (mine === known) show();
  }
}

const everything = (signal) => asking(askEverything, signal);
const summary = (signal) => asking(askSummary, signal);

async function askSummary(mine, signal) {
  mine.news = false;
  mine.summaryAt = now();
  const view_ = { app: shown.app, tz: shown.zone };
  mine.summary = await ask("summary", view_, signal);
}

async function askEverything(mine, signal) {
  mine.everythingAt = now();
  const get = (path, parameters) => ask(path, parameters, signal);
  [mine.apps, mine.health] = await Promise.all([get("apps").then(({ apps }) => apps), get("health", { tz: shown.zone }).catch(notKnown), askSummary(mine, signal)]);
  show();
  const { today, yesterday, last_week: lastWeek, yesterday_until_now: before, zone } = mine.summary;
  const all = { app: shown.app, tz: zone };
  const day = (period) => period.begin.slice(0, 10);
  const series = (parameters) => get("series", { ...all, ...parameters }).then(({ rows }) => rows);
  const hours = (from, to) => series({ step: "hour", from, to }).then(byHour);
  const minutesAgo = (at, minutes) => new Date(Date.parse(at) - minutes * 60_000).toISOString();
  const [of, ...by] = await Promise.all([
    Promise.all([
      hours(day(today)),
      hours(day(yesterday), day(today)),
      hours(day(lastWeek), nextDay(day(lastWeek))),
      series({ step: "day" }),
      series({ step: "minute", from: minutesAgo(mine.summary.now.until, 15), to: mine.summary.now.until }),
      series({ step: "minute", from: minutesAgo(before.end, 5), to: before.end }).catch(() => []),
    ]),
    ...KINDS.map((kind) => series({ step: "day", from: day(today), by: kind })),
  ]);
  mine.hours = { today: of[0], yesterday: of[1], lastWeek: of[2] };
  mine.days = of[3];
  mine.minutes = of[4];
  mine.minutesYesterday = of[5].length ? of[5].reduce((sum, row) => sum + row.figures.messages, 0) / (60 * of[5].length) : null;
  mine.by = Object.fromEntries(KINDS.map((kind, index) => [kind, by[index].at(-1)?.by ?? {}]));
}

// The figures do not depend on whether the state of the pipeline can be told.
function notKnown(failure) {
  if (failure instanceof Problem) return null;
  throw failure;
}

function nextDay(day) {
  return new Date(Date.parse(`${day}T00:00Z`) + 86_400_000).toISOString().slice(0, 10);
}

function heardNow(data) {
  const at = Date.parse(data.updated_at) / 1000;
  const last = known.live.at(-1);
  // Already drawn: the server may begin again at `since`.
  if (at < (last?.at ?? 0)) return;
  const point = { at, messages: data.messages, seconds: data.seconds };
  if (last && last.seconds < POINT_S_MIN) {
    known.live.pop();
    point.messages += last.messages;
    point.seconds += last.seconds;
  }
  known.live.push({ ...point, rate: point.seconds ? point.messages / point.seconds : 0 });
  while (known.live[0].at < at - KEPT_S) known.live.shift();
  known.people = data.people;
  known.news ||= data.messages > 0;
  known.heard = known.updated = now();
  requestShow();
  tick();
}

function heardHealth(data) {
  known.health = data;
  requestShow();
}

// Many updates may come at once, after a reconnection; they are drawn once.
let requested = false;
function requestShow() {
  if (requested) return;
  requested = true;
  requestAnimationFrame(() => {
    requested = false;
    show();
  });
}

function show() {
  showConnection();
  showNotice({ problem: known.problem, view: shown, until: known.summary?.now.until }, () => change({ app: "", zone: "" }));
  if (known.health) showPipeline(known.health, isStale() || known.problem !== null);
  if (!known.summary || !known.apps) return;
  readBy(shown.language, known.summary.zone);
  showChoices(shown, known.apps, known.summary.zone);
  showEmpty(known.apps.length === 0);
  showFigures({ ...known, live: rateNow() });
  document.title = `${known.health && known.health.state !== "ok" ? "▲ " : ""}Hookline`;
  if (!known.days) return;
  document.body.classList.remove("loading");
  set(find("main"), "aria-busy", "false");
  const answers = { ...known, asked: asked() };
  panels.live.update(liveSpec(answers), shown.tables.has("live"));
  panels.today.update(todaySpec(answers), shown.tables.has("today"));
  panels.days.update(daysSpec(answers), shown.tables.has("days"));
  const day = known.summary.today.begin.slice(0, 10);
  for (const kind of KINDS) showRanked(`by-${kind}`, known.by[kind], csv("series", { step: "day", from: day, by: kind }));
  showFooter();
}

const csv = (path, parameters) => `v1/${path}?${new URLSearchParams(Object.entries({ ...asked(), ...parameters, format: "csv" }).filter(([, value]) => value))}`;

// The rate of the last ten seconds: that of one or two seconds jumps.
function rateNow() {
  const last = known.live.at(-1);
  if (!last || known.heard === 0) return null;
  const recent = known.live.filter(({ at }) => at > last.at - NOW_S);
  const seconds = recent.reduce((sum, one) => sum + one.seconds, 0);
  const messages = recent.reduce((sum, one) => sum + one.messages, 0);
  return { perSecond: seconds ? messages / seconds : 0, people: known.people };
}

function showFooter() {
  const errors = [known.summary.today.people.active, ...known.days.map((row) => row.people.active)].map((count) => count?.error ?? 0);
  const error = Math.max(...errors);
  text(find("#exactness"), error ? say("exactWith", { error: percent(error) }) : say("exact"));
  const link = find("#csv");
  set(link, "href", csv("summary", {}));
  set(link, "download", "hookline-summary.csv");
}

// Also if the connection was lost before the first update.
const silence = () => now() - (known.heard || known.started);
const isStale = () => known.summary !== null && silence() > STALE_MS;

function showConnection() {
  const place = find("#connection");
  const words = say("reconnecting", { seconds: String(Math.round(silence() / 1000)) });
  if (!isStale()) {
    place.replaceChildren();
  } else if (place.childElementCount) {
    text(find("span", place), words);
  } else {
    // A screen reader hears it once, and not every second again.
    place.replaceChildren(shape("warning"), element("span", { "aria-hidden": "true" }, words), hidden(words));
    show();
  }
  if (known.updated) text(find("#updated"), say("updated", { seconds: String(Math.round((now() - known.updated) / 1000)) }));
}

function tick() {
  showConnection();
  if (document.hidden || known.asking) return;
  const sinceAll = now() - known.everythingAt;
  const sinceSummary = now() - known.summaryAt;
  const isEmpty = known.apps?.length === 0;
  if (sinceAll > (isEmpty ? 1_500 : EVERYTHING_MS)) everything(stop.signal);
  else if (known.summary && !known.problem && sinceSummary > (known.news ? SUMMARY_MS : QUIET_SUMMARY_MS)) summary(stop.signal);
}

// Another view: `chosen` is remembered if it is the reader's language or theme.
function change(next, chosen) {
  Object.assign(shown, next);
  keep(shown, chosen);
  start();
}

function look(next, chosen) {
  Object.assign(shown, next);
  keep(shown, chosen);
  speak(shown.language);
  readBy(shown.language, known.summary?.zone);
  showLooks(shown);
  find("#connection").replaceChildren();
  forgetColours();
  show();
  for (const one of Object.values(panels)) one.redraw();
}

function flip(id) {
  shown.tables = new Set(shown.tables);
  if (!shown.tables.delete(id)) shown.tables.add(id);
  look({});
}

find("#app").addEventListener("change", (event) => change({ app: event.target.value }));
find("#zone").addEventListener("change", (event) => change({ zone: event.target.value }));
find("#theme").addEventListener("click", () => look({ theme: themeAfter(shown.theme) }, "theme"));
find("#empty .copy").addEventListener("click", copy);
find("#csv").addEventListener("click", (event) => save(event, "hookline-summary.csv"));
for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => look({ language: button.dataset.language }, "language"));
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => look({}));
document.addEventListener("visibilitychange", tick);
setInterval(tick, 1000);
start();
