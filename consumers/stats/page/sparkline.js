// A small line without axes, as SVG. What it shows is said by the numbers beside it.

import { drawing } from "./dom.js";

const WIDTH = 112;
const HEIGHT = 32;

// `values` from left to right, null where there is none; `before` is drawn under them, in grey.
export function sparkline(values, before = []) {
  const highest = Math.max(...values, ...before, Number.MIN_VALUE);
  const points = Math.max(values.length, before.length);
  const at = (value, index) => [(index / Math.max(points - 1, 1)) * (WIDTH - 6) + 3, HEIGHT - 3 - (value / highest) * (HEIGHT - 6)];
  const line = (numbers, name) => {
    const known = numbers.map((value, index) => (value === null ? null : at(value, index))).filter(Boolean);
    return drawing("polyline", { class: name, points: known.map((pair) => pair.map((n) => n.toFixed(1)).join(",")).join(" ") });
  };
  const picture = drawing("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true", preserveAspectRatio: "none" });
  if (before.length) picture.append(line(before, "before"));
  picture.append(line(values, "line"));
  const last = values.findLastIndex((value) => value !== null);
  if (last >= 0) {
    const [x, y] = at(values[last], last);
    picture.append(drawing("circle", { cx: x.toFixed(1), cy: y.toFixed(1), r: 2.5 }));
  }
  return picture;
}
