// A table in place of a chart, with the same numbers.

import { element } from "./dom.js";

// `head` are the columns' titles; each row is a title and its numbers as text.
export function table(title, head, rows) {
  const heading = (value, scope) => element("th", { scope }, value);
  return element(
    "table",
    {},
    element("caption", { class: "hidden" }, title),
    element("thead", {}, element("tr", {}, ...head.map((value) => heading(value, "col")))),
    element("tbody", {}, ...rows.map(([first, ...rest]) => element("tr", {}, heading(first, "row"), ...rest.map((value) => element("td", {}, value))))),
  );
}
