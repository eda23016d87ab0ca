// The page: what happens when it is opened, when an update comes, and when the reader does something.

import { keep, themeAfter } from "./address.js";
import { save } from "./api.js";
import { forgetColours } from "./charts.js";
import { showLooks } from "./choices.js";
import { find, set } from "./dom.js";
import { redrawCharts, requestShow, show, showConnection } from "./drawing.js";
import { copy } from "./empty.js";
import { listen } from "./live.js";
import { loadEverything, loadIfDue } from "./loading.js";
import { readBy } from "./numbers.js";
import { addHealth, addUpdate, forget, KEPT_S, known, shown } from "./state.js";
import { speak } from "./words.js";

let stop = new AbortController();

function start() {
  speak(shown.language);
  readBy(shown.language, shown.zone || undefined);
  showLooks(shown);
  stop.abort();
  stop = new AbortController();
  forget();
  set(find("main"), "aria-busy", "true");
  loadEverything(stop.signal);
  const since = new Date(Date.now() - KEPT_S * 1000).toISOString();
  listen({ app: shown.app, since }, { now: heardNow, health: heardHealth }, stop.signal);
}

function heardNow(data) {
  if (!addUpdate(data)) return;
  requestShow();
  tick();
}

function heardHealth(data) {
  addHealth(data);
  requestShow();
}

function tick() {
  showConnection();
  if (!document.hidden) loadIfDue(stop.signal);
}

// Shows another view.
function change(next) {
  Object.assign(shown, next);
  keep(shown);
  start();
}

// Shows the same figures in another form. `chosen` is remembered: the reader's language or theme.
function redrawWith(next, chosen) {
  Object.assign(shown, next);
  keep(shown, chosen);
  speak(shown.language);
  readBy(shown.language, known.summary?.zone);
  showLooks(shown);
  find("#connection").replaceChildren();
  forgetColours();
  show();
  redrawCharts();
}

function switchTable({ target }) {
  const id = target.closest("[data-table]")?.dataset.table;
  if (!id) return;
  const tables = new Set(shown.tables);
  if (!tables.delete(id)) tables.add(id);
  redrawWith({ tables });
}

function showAll({ target }) {
  if (target.closest("button")) change({ app: "", zone: "" });
}

find("#app").addEventListener("change", (event) => change({ app: event.target.value }));
find("#zone").addEventListener("change", (event) => change({ zone: event.target.value }));
find("#theme").addEventListener("click", () => redrawWith({ theme: themeAfter(shown.theme) }, "theme"));
find("#empty .copy").addEventListener("click", copy);
find("#csv").addEventListener("click", save);
find("#notice").addEventListener("click", showAll);
find("main").addEventListener("click", switchTable);
for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => redrawWith({ language: button.dataset.language }, "language"));
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redrawWith({}));
document.addEventListener("visibilitychange", tick);
setInterval(tick, 1000);
start();
