// The header: which app and zone are shown, in which language and theme.

import { element, find, set, text } from "./dom.js";
import { say } from "./words.js";

const COMMON_ZONES = ["Asia/Shanghai", "Asia/Singapore", "Asia/Tokyo", "Asia/Kolkata", "Europe/Berlin", "America/New_York", "America/Los_Angeles", "UTC"];
const option = (value, label) => element("option", { value }, label);

export function showChoices(shown, apps, zone) {
  const app = find("#app");
  const known = apps.map((one) => one.app);
  // An app that is only in the address stays visible, so that the reader sees what was asked for.
  const names = shown.app && !known.includes(shown.app) ? [...known, shown.app] : known;
  fill(app, [option("", say("allApps")), ...names.map((name) => option(name, name))], shown.app);
  const own = apps.find((one) => one.app === shown.app)?.zone ?? apps[0]?.zone;
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const common = [...new Set([own, here, ...COMMON_ZONES].filter(Boolean))];
  const all = Intl.supportedValuesOf("timeZone").filter((name) => !common.includes(name));
  const value = shown.zone || zone || own || "";
  if (value && !common.includes(value) && !all.includes(value)) common.push(value);
  fill(
    find("#zone"),
    [
      element("optgroup", { label: say("zonesCommon") }, ...common.map((name) => option(name, label(name)))),
      element("optgroup", { label: say("zonesAll") }, ...all.map((name) => option(name, label(name)))),
    ],
    value,
  );
}

const label = (zone) => zone.replaceAll("_", " ");

// Options are replaced only if they differ, because an open list would close.
function fill(select, options, value) {
  const key = JSON.stringify(options.map((one) => one.outerHTML));
  if (select.dataset.key !== key) {
    select.replaceChildren(...options);
    select.dataset.key = key;
  }
  select.value = value;
}

export function showLooks(shown) {
  document.documentElement.lang = shown.language === "zh" ? "zh-CN" : "en";
  set(document.documentElement, "data-theme", shown.theme === "auto" ? null : shown.theme);
  for (const node of document.querySelectorAll("[data-word]")) text(node, say(node.dataset.word));
  for (const node of document.querySelectorAll("[data-label]")) set(node, "aria-label", say(node.dataset.label));
  for (const button of document.querySelectorAll("[data-language]")) set(button, "aria-pressed", String(button.dataset.language === shown.language));
  const theme = find("#theme");
  text(find("span", theme), say(shown.theme));
  const theirs = new URLSearchParams({ lang: shown.language, ...(shown.theme !== "auto" && { theme: shown.theme }) });
  set(find("#contract"), "href", `contract?${theirs}`);
  set(theme, "aria-label", say({ auto: "themeAuto", light: "themeLight", dark: "themeDark" }[shown.theme]));
}
