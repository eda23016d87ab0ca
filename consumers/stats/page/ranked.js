// Names by number, the largest first: a table whose rows have a bar as background.

import { csvLink } from "./csv.js";
import { element, find, hidden, set } from "./dom.js";
import { integer, percent } from "./numbers.js";
import { nameOf, say } from "./words.js";

const ROWS_MAX = 8;

export function showRanked(id, by, csv) {
  const section = document.getElementById(id);
  const title = find("h2", section).textContent;
  const named = Object.entries(by).filter(([, count]) => count > 0);
  // "other" is what the API itself put together; it stays last, as ours does.
  const [others, names] = [named.filter(([name]) => name === "other"), named.filter(([name]) => name !== "other")];
  names.sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
  const rest = [...names.slice(ROWS_MAX), ...others];
  const shown = names.slice(0, ROWS_MAX).map(([name, count]) => [nameOf(name), count, name]);
  if (rest.length) {
    const sum = rest.reduce((all, [, count]) => all + count, 0);
    const label = rest.length === others.length ? nameOf("other") : say("others", { count: integer(rest.length) });
    shown.push([label, sum, rest.map(([name]) => name).slice(0, 40).join(", ")]);
  }
  const total = named.reduce((all, [, count]) => all + count, 0);
  const largest = Math.max(...shown.map(([, count]) => count), 1);
  const rows = shown.map(([label, count, full]) => row(label, count, full, count / largest, count / total));
  const body = rows.length ? rows : [element("tr", {}, element("td", { colspan: "3", class: "none" }, say("noneToday")))];
  const head = element("thead", {}, element("tr", {}, ...["name", "number", "part"].map((key) => element("th", { scope: "col" }, hidden(say(key))))));
  const made = element("table", {}, element("caption", { class: "hidden" }, title), head, element("tbody", {}, ...body));
  find("table", section)?.remove();
  section.append(made);
  link(section, id, title, csv);
}

function row(label, count, full, width, part) {
  const made = element(
    "tr",
    {},
    element("th", { scope: "row", title: full }, element("span", {}, label)),
    element("td", {}, integer(count)),
    element("td", { class: "part" }, part < 0.005 ? `<${percent(0.01, 0)}` : percent(part, 0)),
  );
  made.style.setProperty("--width", `${(width * 100).toFixed(2)}%`);
  return made;
}

function link(section, id, title, address) {
  let csv = find("a", section);
  if (!csv) {
    csv = csvLink(id);
    find(".head", section).append(element("div", { class: "tools" }, csv));
  }
  set(csv, "href", address);
  set(csv, "aria-label", say("csvOf", { title }));
}
