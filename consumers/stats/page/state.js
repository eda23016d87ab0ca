// What the page shows (the view that the reader chose), and what the API has answered for this view.

import { view } from "./address.js";

const STALE_MS = 6_000;
// Without updates, the state of the pipeline is asked for every 5 s, after an answer that may take 8 s.
const HEALTH_STALE_MS = 20_000;
// The rate of now is that of so many seconds: the rate of one or two seconds jumps.
const NOW_S = 10;
// Updates come every second; the chart has a point for two of them.
const POINT_S_MIN = 1.5;
// The live chart has the updates of so many seconds.
export const KEPT_S = 900;
export const KINDS = ["type", "platform", "app", "command"];

export const now = () => performance.now();
export const shown = view();
export let known = emptyState();

// `isLoading` keeps requests from overlapping; `hasNews` is whether messages came after the summary.
function emptyState() {
  return {
    apps: null,
    summary: null,
    // The summary until the last whole minute: its today and yesterday have the same span.
    comparison: null,
    health: null,
    healthAt: 0,
    minutes: [],
    minutesYesterday: null,
    hours: null,
    days: null,
    by: {},
    live: [],
    people: null,
    started: now(),
    heard: 0,
    updated: 0,
    summaryAt: 0,
    everythingAt: 0,
    isLoading: false,
    hasNews: false,
    problem: null,
  };
}

// For another view: the apps and the state of the pipeline stay.
export function forget() {
  known = { ...emptyState(), apps: known.apps, health: known.health, healthAt: known.healthAt };
}

// The app and the zone of all requests; the zone is that of the summary if the reader chose none.
export const asked = () => ({ app: shown.app, tz: known.summary?.zone ?? shown.zone });

export function addHealth(health) {
  known.health = health;
  known.healthAt = now();
}

// Adds an update of the event `now`; returns whether it is a new one.
export function addUpdate(data) {
  const at = Date.parse(data.updated_at) / 1000;
  const last = known.live.at(-1);
  // The server may begin again at `since`, before the last point.
  if (at < (last?.at ?? 0)) return false;
  const point = { at, messages: data.messages, seconds: data.seconds };
  if (last && last.seconds < POINT_S_MIN) {
    known.live.pop();
    point.messages += last.messages;
    point.seconds += last.seconds;
  }
  known.live.push({ ...point, rate: point.seconds ? point.messages / point.seconds : 0 });
  while (known.live[0].at < at - KEPT_S) known.live.shift();
  known.people = data.people;
  known.hasNews ||= data.messages > 0;
  known.heard = known.updated = now();
  return true;
}

// The messages per second of the last NOW_S, and the people of now; null before the first update.
export function rateNow() {
  const last = known.live.at(-1);
  if (!last) return null;
  const recent = known.live.filter(({ at }) => at > last.at - NOW_S);
  const seconds = recent.reduce((sum, one) => sum + one.seconds, 0);
  const messages = recent.reduce((sum, one) => sum + one.messages, 0);
  return { perSecond: seconds ? messages / seconds : 0, people: known.people };
}

// Also if the connection was lost before the first update.
export const silence = () => now() - (known.heard || known.started);
export const isStale = () => known.summary !== null && silence() > STALE_MS;
// While updates come, a change of the state would have come, too. While only the counts cannot be read, the state is known.
export const isHealthStale = () => silence() > STALE_MS && now() - known.healthAt > HEALTH_STALE_MS;
