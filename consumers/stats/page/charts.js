// Line and bar charts by uPlot: direct labels at the ends of lines, one readout for all series, and
// the same by keyboard. A chart reads its specification again at each drawing, so the plot is made once.
//
// A specification: {x, range, splits, nameOf(split), endRoom, readout(index), lines: [{label, values,
// colour, dash, width, bars, fill, scale, dot}]}. `values` are as long as `x`; null where there is none.

import { compact } from "./numbers.js";

const LABEL_GAP = 8;
const LABEL_HEIGHT = 16;
const SPLIT_WIDTH = 52;
const FONT = "12px system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', sans-serif";

export const canDraw = () => typeof window.uPlot === "function";

export function chart(container, readout) {
  let spec = null;
  let plot = null;
  let shown = null;

  function show(index) {
    shown = index;
    readout.textContent = index === null ? "" : spec.readout(index);
    container.setAttribute("aria-valuenow", index ?? spec.x.length - 1);
    container.setAttribute("aria-valuetext", spec.readout(index ?? spec.x.length - 1));
  }

  function go(event) {
    const last = spec.x.length - 1;
    const from = shown ?? (event.key === "ArrowLeft" ? last + 1 : -1);
    const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last }[event.key];
    if (event.key === "Escape") plot.setCursor({ left: -10, top: -10 });
    if (to === undefined) return;
    event.preventDefault();
    const index = Math.min(Math.max(to, 0), last);
    plot.setCursor({ left: plot.valToPos(spec.x[index], "x"), top: container.clientHeight / 2 });
    show(index);
  }

  container.addEventListener("keydown", go);
  new ResizeObserver(() => plot && container.clientWidth && plot.setSize(size(container))).observe(container);

  return {
    update(next) {
      spec = next;
      container.setAttribute("role", "slider");
      container.setAttribute("tabindex", "0");
      container.setAttribute("aria-valuemin", "0");
      container.setAttribute("aria-valuemax", spec.x.length - 1);
      const data = [spec.x, ...spec.lines.map((line) => line.values)];
      // A panel's specifications have the same number of lines.
      if (plot) plot.setData(data);
      else plot = new window.uPlot(options(() => spec, size(container), show), data, container);
      show(shown !== null && shown < spec.x.length ? shown : null);
    },
    redraw: () => plot?.redraw(true, true),
  };
}

const size = (container) => ({ width: container.clientWidth, height: container.clientHeight });

function options(spec, { width, height }, show) {
  const scales = { x: { time: false, range: () => spec().range }, y: { range: fromZero(spec().headroom ?? 1.12) } };
  const axes = [xAxis(spec), yAxis("y", 3, true)];
  if (spec().lines.some((line) => line.scale === "y2")) {
    scales.y2 = { range: fromZero(1.12) };
    axes.push(yAxis("y2", 1, false));
  }
  return {
    width,
    height,
    padding: [12, spec().endRoom, 0, 0],
    legend: { show: false },
    cursor: { y: false, move: toPoint, drag: { setScale: false, x: false, y: false }, points: { size: 7 } },
    scales,
    axes,
    series: [{}, ...spec().lines.map((line, index) => series(spec, line, index))],
    hooks: {
      draw: [(plot) => drawEnds(plot, spec().lines)],
      setCursor: [(plot) => show(plot.cursor.left >= 0 ? (plot.cursor.idx ?? null) : null)],
    },
  };
}

// The line under the pointer goes to the nearest point: that is where the readout's numbers are from.
function toPoint(plot, left, top) {
  const at = plot.data[0][plot.posToIdx(left)];
  return left < 0 || at === undefined ? [left, top] : [plot.valToPos(at, "x"), top];
}

// Room above the highest value, and a scale also where everything is zero.
const fromZero = (headroom) => (plot, low, high) => [0, high > 0 ? high * headroom : 1];

function xAxis(spec) {
  return {
    stroke: () => colour("--quiet"),
    font: FONT,
    size: 24,
    gap: 6,
    grid: { show: false },
    ticks: { show: false },
    splits: (plot) => sparse(spec().splits, plot.width),
    values: (plot, splits) => splits.map((at) => spec().nameOf(at)),
  };
}

// On a narrow screen every second or third label, so that they do not touch.
function sparse(splits, width) {
  const each = Math.ceil((splits.length * SPLIT_WIDTH) / Math.max(width - 64, 1));
  return splits.filter((_, index) => index % each === 0);
}

function yAxis(scale, side, hasGrid) {
  return {
    scale,
    side,
    stroke: () => colour("--quiet"),
    font: FONT,
    size: 48,
    gap: 8,
    space: 40,
    incrs: [0.1, 0.2, 0.5, ...[1, 2, 5].flatMap((step) => Array.from({ length: 12 }, (_, zeros) => step * 10 ** zeros))].sort((a, b) => a - b),
    ticks: { show: false },
    grid: { show: hasGrid, stroke: () => colour("--line"), width: 1 },
    values: (plot, splits) => splits.map(compact),
  };
}

function series(spec, line, index) {
  const currentLine = () => spec().lines[index];
  const drawn = {
    scale: line.scale ?? "y",
    stroke: () => colour(currentLine().colour),
    width: line.width ?? 2,
    dash: line.dash,
    cap: "round",
    spanGaps: false,
    points: { show: false },
  };
  if (line.bars) {
    const room = { size: [0.64, 24], radius: 0.12 };
    return { ...drawn, width: 0, fill: () => colour(currentLine().colour), paths: window.uPlot.paths.bars(room), points: { show: false } };
  }
  return line.fill ? { ...drawn, fill: () => colour(line.fill) } : drawn;
}

// Draws a dot where a line ends, and writes its label beside it: at the right edge in order of height
// without touching, within the plot where the other lines leave most room.
function drawEnds(plot, lines) {
  const { ctx: pen, bbox } = plot;
  const scale = window.devicePixelRatio;
  const placed = [];
  pen.save();
  pen.font = FONT.replace("12px", `${12 * scale}px`);
  pen.textBaseline = "middle";
  pen.textAlign = "left";
  pen.lineJoin = "round";
  for (const line of lines) {
    const last = line.values.findLastIndex((value) => value !== null);
    if (line.bars || last < 0) continue;
    const x = plot.valToPos(plot.data[0][last], "x", true);
    const y = plot.valToPos(line.values[last], line.scale ?? "y", true);
    if (line.dot) dot(pen, x, y, colour(line.colour), line.dot === "hollow", scale);
    if (line.label) placed.push(beside({ line, last, x, y, width: pen.measureText(line.label).width }, plot, lines, scale));
  }
  spread(placed.filter(({ isInside }) => !isInside), bbox, LABEL_HEIGHT * scale);
  for (const { line, x, y } of placed) {
    pen.lineWidth = 4 * scale;
    pen.strokeStyle = colour("--ground");
    pen.strokeText(line.label, x, y);
    pen.fillStyle = colour(line.colour);
    pen.fillText(line.label, x, y);
  }
  pen.restore();
}

function dot(pen, x, y, fill, isHollow, scale) {
  pen.beginPath();
  pen.arc(x, y, 3.5 * scale, 0, 2 * Math.PI);
  pen.fillStyle = isHollow ? colour("--ground") : fill;
  pen.strokeStyle = fill;
  pen.lineWidth = 2 * scale;
  pen.fill();
  pen.stroke();
}

function beside({ line, last, x, y, width }, plot, lines, scale) {
  const gap = LABEL_GAP * scale;
  if (x + gap >= plot.bbox.left + plot.bbox.width) return { line, x: x + gap, y, isInside: false };
  if (line.scale) return { line, x: Math.max(x - width, plot.bbox.left), y: y - 14 * scale, isInside: true };
  const others = lines
    .filter((other) => other !== line && !other.bars && !other.scale)
    .flatMap((other) => other.values.slice(last, last + 4))
    .filter((value) => value !== null)
    .map((value) => plot.valToPos(value, "y", true));
  const room = (at) => Math.min(...others.map((other) => Math.abs(other - at)), Infinity);
  const heights = [0, -18, 18, -30, 30].map((step) => y + step * scale).filter((at) => at > plot.bbox.top && at < plot.bbox.top + plot.bbox.height - gap);
  const enough = heights.find((at) => room(at) > 12 * scale);
  const best = enough ?? heights.reduce((one, two) => (room(two) > room(one) ? two : one), y);
  return { line, x: x + gap, y: best, isInside: true };
}

function spread(labels, bbox, step) {
  labels.sort((a, b) => a.y - b.y);
  let limit = bbox.top + bbox.height - step * 0.25;
  for (const label of labels.toReversed()) {
    label.y = Math.min(label.y, limit);
    limit = label.y - step;
  }
}

// The canvas needs a colour as numbers; the probe has the browser work out the theme's.
const probe = document.createElement("i");
probe.hidden = true;
document.documentElement.append(probe);
let known = new Map();

function colour(name) {
  if (!known.has(name)) {
    probe.style.color = `var(${name})`;
    known.set(name, getComputedStyle(probe).color);
  }
  return known.get(name);
}

export function forgetColours() {
  known = new Map();
}
