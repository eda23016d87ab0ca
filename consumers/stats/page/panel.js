// A chart's panel: title, readout, the buttons, the plot, and the table that replaces it.

import { canDraw, chart } from "./charts.js";
import { csvLink } from "./csv.js";
import { element, find, set, text } from "./dom.js";
import { table } from "./table.js";
import { say } from "./words.js";

// The page handles the click on the button with `data-table`.
export function panel(id) {
  const section = document.getElementById(id);
  const readout = element("p", { class: "readout", "aria-hidden": "true" });
  const toggle = element("button", { type: "button", class: "quiet", "data-table": id, "aria-controls": `${id}-table` });
  const csv = csvLink(id);
  const sentence = element("p", { class: "hidden", id: `${id}-said` });
  const plot = element("div", { class: "plot", "aria-describedby": `${id}-said` });
  const rows = element("div", { class: "rows", id: `${id}-table`, role: "region", tabindex: "0", hidden: true });
  find(".head", section).append(readout, element("div", { class: "tools" }, toggle, csv));
  section.append(sentence, plot, rows);
  const drawn = canDraw() ? chart(plot, readout) : null;
  if (!drawn) plot.hidden = true;

  return {
    // `spec` is the chart's, with `said`, `csv`, `head` and `rows` for the rest of the panel.
    update(spec, isTable) {
      const title = find("h2", section).textContent;
      const asTable = isTable || !drawn;
      text(sentence, spec.said);
      text(toggle, say(isTable ? "asChart" : "asTable"));
      toggle.hidden = !drawn;
      set(toggle, "aria-label", isTable ? null : say("asTableOf", { title }));
      set(toggle, "aria-expanded", String(isTable));
      set(plot, "aria-label", title);
      set(rows, "aria-label", say("tableOf", { title }));
      set(csv, "href", spec.csv);
      set(csv, "aria-label", say("csvOf", { title }));
      plot.hidden = asTable;
      rows.hidden = !asTable;
      readout.hidden = asTable;
      if (asTable) {
        const scrolled = rows.scrollTop;
        rows.replaceChildren(table(title, spec.head, spec.rows));
        rows.scrollTop = scrolled;
      } else {
        drawn.update(spec);
      }
      if (!drawn) section.title = say("noCharts");
    },
    redraw: () => drawn?.redraw(),
  };
}
