// Draws what state.js has.

import { address } from "./api.js";
import { showChoices } from "./choices.js";
import { element, find, hidden, set, shape, text } from "./dom.js";
import { showEmpty } from "./empty.js";
import { showFigures } from "./figures.js";
import { showNotice } from "./notice.js";
import { integer, percent, readBy } from "./numbers.js";
import { panel } from "./panel.js";
import { showPipeline } from "./pipeline.js";
import { showRanked } from "./ranked.js";
import { daysSpec, liveSpec, todaySpec } from "./specs.js";
import { asked, isHealthStale, isStale, KINDS, known, now, rateNow, shown, silence } from "./state.js";
import { say } from "./words.js";

const panels = { live: panel("live"), today: panel("today"), days: panel("days") };

// Many updates may come at once, after a reconnection; they are drawn once.
let requested = false;
export function requestShow() {
  if (requested) return;
  requested = true;
  requestAnimationFrame(() => {
    requested = false;
    show();
  });
}

export function show() {
  showConnection();
  showNotice({ problem: known.problem, view: shown, until: known.summary?.now.until });
  showHealth();
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

let healthWasStale = false;
function showHealth() {
  healthWasStale = isHealthStale();
  if (known.health) showPipeline(known.health, healthWasStale);
}

const csv = (path, parameters) => address(path, { ...asked(), ...parameters, format: "csv" });

function showFooter() {
  const errors = [known.summary.today.people.active, ...known.days.map((row) => row.people.active)].map((count) => count?.error ?? 0);
  const error = Math.max(...errors);
  text(find("#exactness"), say(error ? "exactWith" : "exact", { error: percent(error), limit: integer(known.summary.people_exact_max) }));
  set(find("#csv"), "href", csv("summary", {}));
}

export function showConnection() {
  const connection = find("#connection");
  // Without updates, the API may still answer that it cannot read the counts.
  const sentence = known.problem?.isOfApi ? "noUpdate" : "reconnecting";
  const words = say(sentence, { seconds: String(Math.round(silence() / 1000)) });
  if (!isStale()) {
    connection.replaceChildren();
  } else if (connection.childElementCount && connection.dataset.sentence === sentence) {
    text(find("span", connection), words);
  } else {
    // A screen reader hears each sentence once, and not every second again.
    connection.dataset.sentence = sentence;
    connection.replaceChildren(shape("warning"), element("span", { "aria-hidden": "true" }, words), hidden(words));
    show();
  }
  if (isHealthStale() !== healthWasStale) showHealth();
  if (known.updated) text(find("#updated"), say("updated", { seconds: String(Math.round((now() - known.updated) / 1000)) }));
}

export function redrawCharts() {
  for (const one of Object.values(panels)) one.redraw();
}
