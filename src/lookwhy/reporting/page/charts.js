// Charts, drawn at the width that there is: lines as SVG, bars as HTML whose names wrap.

/** Runs and feature sets are told apart without colour: by dash and marker, bars by their hatching. */
const DASHES = ["", "7 4", "2 3.5", "10 3 2 3"];
const HATCHES = ["", "45deg", "-45deg", "90deg"];
const RUN_COLOURS = names.series;

/** A marker of one of four shapes. */
function marker(kind, x, y, colour) {
  const r = 3.4;
  const shapes = [
    () => draw("circle", { cx: x, cy: y, r }),
    () => draw("rect", { x: x - r, y: y - r, width: 2 * r, height: 2 * r }),
    () => draw("path", { d: `M${x} ${y - 4.3}l4 7.2h-8z` }),
    () => draw("path", { d: `M${x} ${y - 4.6}l4.2 4.6l-4.2 4.6l-4.2 -4.6z` }),
  ];
  return dress(shapes[kind % 4](), { style: { fill: colour } }, []);
}

/** How a line looks, for a legend. */
function lineKey(colour, dash, kind) {
  const line = draw("line", { x1: 0, x2: 30, y1: 7, y2: 7, "stroke-width": 2, "stroke-dasharray": dash, style: { stroke: colour } });
  const mark = kind === null ? null : marker(kind, 15, 7, colour);
  return draw("svg", { width: 30, height: 14, viewBox: "0 0 30 14", "aria-hidden": "true" }, line, mark);
}

/** Round numbers over a range: about as many as wanted. */
function ticks(low, high, wanted) {
  const rough = (high - low) / Math.max(wanted, 1) || 1;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((f) => f * size).find((s) => s >= rough * 0.999);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at++) found.push(at * step);
  return { found, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

const redrawn = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    if (target.drawnAt !== Math.round(contentRect.width)) target.redraw();
  }
});

/**
 * @typedef {{x: number, y: number|null, low?: number|null, high?: number|null, n?: number}} Point
 * @typedef {{name: string, colour: string, dash: string, marker: number|null, points: Point[], shift?: number}} Line
 * @typedef {{name: string, y: number, colour: string, dash: string}} Level
 * @typedef {{title: string, label: string, lines: Line[], levels?: Level[], diagonal?: boolean,
 *   x: {title: string, low: number, high: number, whole?: boolean, share?: boolean},
 *   y: {title: string, low?: number, high?: number, share?: boolean}}} Chart
 */

/**
 * Lines with bands of confidence, redrawn when the room changes.
 * @param {Chart} chart
 * @returns {HTMLElement & {show: (chart: Chart) => void}}
 */
function lineChart(chart) {
  const place = make("div", { class: "plot" });
  const heading = make("h3", {}, chart.title);
  const values = make("details", {}, make("summary", {}, "Numbers"));
  const box = make("div", { class: "chart" }, heading, place, values);
  let shown = chart;
  place.redraw = () => {
    const width = Math.round(place.clientWidth) || 340;
    place.drawnAt = width;
    const svg = lines(shown, width);
    place.replaceChildren(svg);
    fitTitles(svg, width);
  };
  values.addEventListener("toggle", () => { if (values.open) listNumbers(values, shown); });
  box.show = (next) => {
    shown = next;
    place.redraw();
    if (values.open) listNumbers(values, shown);
  };
  place.redraw();
  redrawn.observe(place);
  return box;
}

/** Titles of axes stay inside whatever the font: where it is too wide, they are drawn narrower. */
function fitTitles(svg, width) {
  for (const text of svg.querySelectorAll("text.quiet")) {
    const room = text.getAttribute("text-anchor") === "end" ? Number(text.getAttribute("x")) : width;
    if (text.getComputedTextLength() > room) dress(text, { textLength: room, lengthAdjust: "spacingAndGlyphs" }, []);
  }
}

/** The axes' ranges and the two functions from values to pixels. */
function frame(chart, width) {
  const height = Math.round(Math.min(Math.max(width * 0.62, 210), 320));
  const edge = { left: 44, right: 12, top: 24, bottom: 40 };
  const all = chart.lines.flatMap((line) => line.points.flatMap((p) => [p.y, p.low, p.high])).filter(known);
  all.push(...(chart.levels ?? []).map((level) => level.y));
  const low = chart.y.low ?? Math.min(0, ...all);
  const high = chart.y.high ?? Math.max(...all, low + 0.05);
  const spare = chart.y.high === undefined ? (high - low) * 0.05 : 0;
  const bottom = chart.y.low === undefined && low < 0 ? low - spare : low;
  const top = high + spare;
  const [from, to] = [chart.x.low, chart.x.high];
  return {
    width, height, edge, bottom, top,
    x: (value) => edge.left + ((value - from) / (to - from || 1)) * (width - edge.left - edge.right),
    y: (value) => height - edge.bottom - ((value - bottom) / (top - bottom || 1)) * (height - edge.top - edge.bottom),
  };
}

/** @param {Chart} chart */
function lines(chart, width) {
  const f = frame(chart, width);
  const svg = draw("svg", { viewBox: `0 0 ${f.width} ${f.height}`, role: "img", "aria-label": chart.label });
  svg.append(...axes(chart, f));
  if (chart.diagonal) {
    svg.append(draw("line", { x1: f.x(0), y1: f.y(0), x2: f.x(1), y2: f.y(1), class: "axis", "stroke-dasharray": "3 3" }));
  }
  for (const level of chart.levels ?? []) {
    const [y, x] = [f.y(level.y), f.width - f.edge.right];
    svg.append(draw("line", { x1: f.edge.left, x2: x, y1: y, y2: y, "stroke-width": 1.7, "stroke-dasharray": level.dash, style: { stroke: level.colour } },
      draw("title", {}, `${level.name}: ${number(level.y, 3)}`)));
  }
  for (const line of chart.lines) svg.append(band(line, f));
  for (const line of chart.lines) svg.append(curve(line, f, chart));
  return svg;
}

function axes(chart, f) {
  const found = [];
  const down = ticks(f.bottom, f.top, (f.height - 60) / 44);
  for (const value of down.found) {
    const text = chart.y.share ? percent(value) : number(value, down.digits);
    found.push(draw("line", { x1: f.edge.left, x2: f.width - f.edge.right, y1: f.y(value), y2: f.y(value), class: Math.abs(value) < 1e-9 ? "axis" : "grid" }));
    found.push(draw("text", { x: f.edge.left - 6, y: f.y(value) + 4, "text-anchor": "end" }, text));
  }
  const [low, high] = [Math.max(chart.x.low, 0), chart.x.high];
  const across = chart.x.whole
    ? ticks(Math.ceil(low), Math.max(Math.floor(high), 0), Math.min(Math.max(high - low, 1), (f.width - 60) / 46)).found.filter((v) => Number.isInteger(v))
    : ticks(low, high, Math.min(4, (f.width - 60) / 60)).found;
  const base = f.height - f.edge.bottom;
  const mark = (value, text, anchor = "middle") => {
    found.push(draw("line", { x1: f.x(value), x2: f.x(value), y1: base, y2: base + 4, class: "axis" }));
    found.push(draw("text", { x: f.x(value), y: base + 17, "text-anchor": anchor }, text));
  };
  const untrained = chart.x.whole && chart.x.low < 0;
  if (untrained) mark(-1, "untrained", "start");
  for (const value of across) {
    // The word is wider than a number: ticks that it would cover give way.
    if (untrained && f.x(value) < f.x(-1) + 68) continue;
    mark(value, chart.x.share ? percent(value) : String(Number(value.toFixed(6))));
  }
  found.push(draw("text", { x: f.width - f.edge.right, y: f.height - 5, "text-anchor": "end", class: "quiet" }, chart.x.title));
  found.push(draw("text", { x: 0, y: 12, class: "quiet" }, chart.y.title));
  return found;
}

function band(line, f) {
  const group = draw("g", { transform: `translate(${line.shift ?? 0} 0)`, style: { fill: line.colour, "fill-opacity": 0.15 } });
  for (const part of stretches(line.points, (p) => known(p.low) && known(p.high))) {
    const upper = part.map((p) => `${f.x(p.x)},${f.y(p.high)}`);
    const lower = part.map((p) => `${f.x(p.x)},${f.y(p.low)}`).reverse();
    // A single epoch has a band of no width: an upright line shows its interval.
    if (part.length > 1) group.append(draw("polygon", { points: [...upper, ...lower].join(" ") }));
    else group.append(draw("line", { x1: f.x(part[0].x), x2: f.x(part[0].x), y1: f.y(part[0].low), y2: f.y(part[0].high), "stroke-width": 2, style: { stroke: line.colour } }));
  }
  return group;
}

function curve(line, f, chart) {
  const group = draw("g", { transform: `translate(${line.shift ?? 0} 0)` });
  for (const part of stretches(line.points, (p) => known(p.y))) {
    const points = part.map((p) => `${f.x(p.x)},${f.y(p.y)}`).join(" ");
    group.append(draw("polyline", { points, fill: "none", "stroke-width": 2, "stroke-linejoin": "round", "stroke-dasharray": line.dash, style: { stroke: line.colour } }));
  }
  for (const p of line.points) {
    if (!known(p.y) || line.marker === null) continue;
    const interval = known(p.low) ? ` [${number(p.low, 3)}, ${number(p.high, 3)}]` : "";
    const where = chart.x.whole ? epochName(p.x) : percent(p.x);
    const n = known(p.n) ? `, n = ${p.n}` : "";
    const text = `${line.name}, ${where}: ${number(p.y, 3)}${interval}${n}`;
    group.append(dress(marker(line.marker, f.x(p.x), f.y(p.y), line.colour), {}, [draw("title", {}, text)]));
  }
  return group;
}

/** Runs of points without a gap. */
function stretches(points, defined) {
  const found = [[]];
  for (const point of points) {
    if (defined(point)) found.at(-1).push(point);
    else if (found.at(-1).length) found.push([]);
  }
  return found.filter((part) => part.length);
}

/** The chart's numbers as a table, for whoever does not see it. */
function listNumbers(details, chart) {
  const head = make("tr", {}, ...["Line", chart.x.title, "Value", chart.x.whole ? "95% interval" : "Questions"].map((text) => make("th", { scope: "col" }, text)));
  const rows = chart.lines.flatMap((line) => line.points.map((p) => {
    const count = known(p.n) ? `n = ${p.n}` : "–";
    const interval = known(p.low) ? `[${number(p.low, 3)}, ${number(p.high, 3)}]` : count;
    const at = chart.x.whole ? epochName(p.x) : number(p.x, 3);
    return make("tr", {}, make("th", { scope: "row" }, line.name), ...[at, number(p.y, 3), interval].map((text) => make("td", {}, text)));
  }));
  const levels = (chart.levels ?? []).map((level) => make("tr", {}, make("th", { scope: "row" }, level.name), ...["all", number(level.y, 3), "–"].map((text) => make("td", {}, text))));
  const table = make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows, ...levels));
  const old = details.querySelector(".plain");
  if (old) old.remove();
  details.append(make("div", { class: "plain", tabindex: 0, role: "region", "aria-label": "Numbers: " + chart.title }, table));
}

/**
 * @typedef {{name: string, value: number|null, low?: number|null, high?: number|null, mark?: number|null,
 *   colour: string, hatch?: string, text: string}} Bar
 * @typedef {{name: string, small: string, strong?: boolean, bars: Bar[]}} BarRow
 */

/**
 * Bars from the left; `high` is where the track ends.
 * @param {string} label
 * @param {BarRow[]} rows
 * @param {number} high
 */
function barChart(label, rows, high) {
  const at = (value) => Math.min(Math.max(value / high, 0), 1) * 100 + "%";
  const one = (bar) => {
    const hatch = bar.hatch ? `repeating-linear-gradient(${bar.hatch}, transparent 0 4px, color-mix(in srgb, var(--card) 60%, transparent) 4px 6.5px), ` : "";
    const track = make("div", { class: "track", title: `${bar.name}: ${bar.text}` });
    track.append(make("span", { class: "hidden-text" }, bar.name + ": "));
    if (known(bar.value)) track.append(make("div", { class: "bar", style: { width: at(bar.value), background: hatch + `linear-gradient(${bar.colour}, ${bar.colour})` } }));
    if (known(bar.low) && known(bar.high)) track.append(make("div", { class: "interval", style: { left: at(bar.low), width: `calc(${at(bar.high)} - ${at(bar.low)})` } }));
    if (known(bar.mark)) track.append(make("div", { class: "mark", style: { left: at(bar.mark) } }));
    track.append(make("span", { class: known(bar.value) ? "value" : "value none" }, bar.text));
    return track;
  };
  const items = rows.map((row) => make("li", {},
    make("div", { class: "name" + (row.strong ? " strong" : "") }, row.name + " ", make("small", {}, row.small)),
    make("div", {}, ...row.bars.map(one))));
  return make("ul", { class: "bars", "aria-label": label }, ...items);
}

/** A legend of bars and of what lies over them. */
function barKeys(keys) {
  return make("ul", { class: "keys" }, ...keys.map(([look, text]) => make("li", { class: "key" }, look, text)));
}

function swatch(colour, hatch = "") {
  const lines = hatch ? `repeating-linear-gradient(${hatch}, transparent 0 4px, color-mix(in srgb, var(--card) 60%, transparent) 4px 6.5px), ` : "";
  return make("span", { class: "swatch", style: { background: lines + `linear-gradient(${colour}, ${colour})` } });
}
