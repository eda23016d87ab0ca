// Asks the API for the figures of the view. One load at a time: it ends when all its requests have ended. A failure is
// shown, and the load is tried again.

import { ask, Problem } from "./api.js";
import { requestShow, show } from "./drawing.js";
import { byHour } from "./specs.js";
import { addHealth, KINDS, known, now, shown } from "./state.js";

// Far less than the time between two updates: each one with news is followed by a summary.
const SUMMARY_MS = 500;
const QUIET_SUMMARY_MS = 30_000;
const EVERYTHING_MS = 60_000;
const EMPTY_MS = 1_500;
const RETRY_MS = 5_000;

export const loadEverything = (signal) => load(askEverything, signal);

// Asks again for what is too old.
export function loadIfDue(signal) {
  if (known.isLoading) return;
  const isEmpty = known.apps?.length === 0;
  const summaryMs = known.hasNews ? SUMMARY_MS : QUIET_SUMMARY_MS;
  if (now() - known.everythingAt > (isEmpty ? EMPTY_MS : EVERYTHING_MS)) load(askEverything, signal);
  else if (known.summary && !known.problem && now() - known.summaryAt > summaryMs) load(askSummary, signal);
}

// `known` is replaced with the view; the answers for the view before it are not shown.
async function load(request, signal) {
  if (known.isLoading) return;
  const mine = known;
  mine.isLoading = true;
  try {
    await request(mine, signal);
    mine.problem = null;
    mine.updated = now();
  } catch (failure) {
    if (signal.aborted) return;
    if (!(failure instanceof Problem)) throw failure;
    mine.problem = failure;
    mine.everythingAt = now() - EVERYTHING_MS + RETRY_MS;
  } finally {
    mine.isLoading = false;
    if (mine === known) show();
  }
}

async function askSummary(mine, signal) {
  mine.hasNews = false;
  mine.summaryAt = now();
  mine.summary = await ask("summary", { app: shown.app, tz: shown.zone }, signal);
}

async function askEverything(mine, signal) {
  mine.everythingAt = now();
  const get = (path, parameters) => ask(path, parameters, signal);
  [mine.apps] = await ended([get("apps").then(({ apps }) => apps), askSummary(mine, signal), askHealth(mine, signal)]);
  show();
  const { today, yesterday, last_week: lastWeek, yesterday_until_now: before, zone } = mine.summary;
  const all = { app: shown.app, tz: zone };
  const day = (period) => period.begin.slice(0, 10);
  const series = (parameters) => get("series", { ...all, ...parameters }).then(({ rows }) => rows);
  const hours = (from, to) => series({ step: "hour", from, to }).then(byHour);
  const minutesAgo = (at, minutes) => new Date(Date.parse(at) - minutes * 60_000).toISOString();
  const [comparison, of, ...by] = await ended([
    get("summary", { ...all, at: mine.summary.now.until }),
    ended([
      hours(day(today)),
      hours(day(yesterday), day(today)),
      hours(day(lastWeek), nextDay(day(lastWeek))),
      series({ step: "day" }),
      series({ step: "minute", from: minutesAgo(mine.summary.now.until, 15), to: mine.summary.now.until }),
      series({ step: "minute", from: minutesAgo(before.end, 5), to: before.end }).catch(() => []),
    ]),
    ...KINDS.map((kind) => series({ step: "day", from: day(today), by: kind })),
  ]);
  mine.comparison = comparison;
  mine.hours = { today: of[0], yesterday: of[1], lastWeek: of[2] };
  mine.days = of[3];
  mine.minutes = of[4];
  mine.minutesYesterday = of[5].length ? of[5].reduce((sum, row) => sum + row.figures.messages, 0) / (60 * of[5].length) : null;
  mine.by = Object.fromEntries(KINDS.map((kind, index) => [kind, by[index].at(-1)?.by ?? {}]));
}

// Waits until all requests have ended; then returns their values, or throws the first failure. Promise.all would not
// wait for the others after a failure: their answers could then replace newer ones of the next load.
async function ended(requests) {
  const results = await Promise.allSettled(requests);
  const failed = results.find(({ status }) => status === "rejected");
  if (failed) throw failed.reason;
  return results.map(({ value }) => value);
}

// The figures are shown also if the state of the pipeline is not known, and the state also if the figures cannot be read.
async function askHealth(mine, signal) {
  try {
    const health = await ask("health", { tz: shown.zone }, signal);
    if (mine !== known) return;
    addHealth(health);
    requestShow();
  } catch (failure) {
    if (!(failure instanceof Problem)) throw failure;
  }
}

function nextDay(day) {
  return new Date(Date.parse(`${day}T00:00Z`) + 86_400_000).toISOString().slice(0, 10);
}
