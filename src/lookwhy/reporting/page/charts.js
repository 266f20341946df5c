// Charts: lines as SVG, bars as HTML. Positions are percentages, so no chart needs drawing again at another width.

/** Dashes and markers tell runs and feature sets apart without colour; for bars, hatches do. */
const DASHES = ["", "7 4", "2 3.5", "10 3 2 3", "12 3 2 3 2 3"];
const HATCHES = ["", "45deg", "-45deg", "90deg"];
const MARKERS = [
  "M-3.4 0a3.4 3.4 0 1 0 6.8 0a3.4 3.4 0 1 0 -6.8 0z",
  "M-3.4 -3.4h6.8v6.8h-6.8z",
  "M0 -4.3l4 7.2h-8z",
  "M0 -4.6l4.2 4.6l-4.2 4.6l-4.2 -4.6z",
  "M0 4.3l4 -7.2h-8z",
];

/** Colour, hatch, dash and marker of a run, group or feature set, by its index. */
const lookAt = (at) => ({ colour: names.series[at % 6], hatch: HATCHES[at % 4], dash: DASHES[at % 5], marker: at % 5 });

/**
 * @typedef {{x: number, y: number|null, low?: number|null, high?: number|null, note?: string}} Point
 *   `note` is shown after the value: its interval or its count.
 * @typedef {{name: string, colour: string, dash: string, marker: number|null, points: Point[], shift?: number}} Line
 *   `shift` in pixels to the right.
 * @typedef {{name: string, y: number, colour: string, dash: string}} Level a horizontal line
 * @typedef {{title: string, label: string, lines: Line[], levels?: Level[], diagonal?: boolean, noteTitle: string,
 *   x: {title: string, low: number, high: number, whole?: boolean, share?: boolean},
 *   y: {title: string, low?: number, high?: number, share?: boolean}}} Chart `whole`: epochs; `share`: percent
 */

/** A line chart with its title and, on demand, a table of its numbers; its method `show` draws another Chart. */
function lineChart(chart) {
  const plot = make("div");
  const numbers = make("details", {}, make("summary", {}, "Numbers"), make("div"));
  const box = make("div", { class: "chart" }, make("h3", {}, chart.title), plot, numbers);
  // A curve of the failure predictor has hundreds of points: the table is made when it is opened.
  const list = () => { if (numbers.open) numbers.lastChild.replaceWith(numbersTable(chart)); };
  numbers.addEventListener("toggle", list);
  box.show = (next) => {
    chart = next;
    const across = make("small", { class: "x" }, chart.x.title);
    plot.replaceChildren(make("small", {}, chart.y.title), drawLines(chart), across);
    list();
  };
  box.show(chart);
  return box;
}

function drawLines(chart) {
  const [bottom, top] = range(chart);
  const x = (value) => (100 * (value - chart.x.low)) / (chart.x.high - chart.x.low || 1);
  const y = (value) => (100 * (top - value)) / (top - bottom || 1);
  // SVG paths cannot use percentages: they lie in a 100 x 100 box that is stretched without their strokes.
  const paths = draw("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none" });
  const diagonal = { class: "axis", d: `M${x(0)} ${y(0)}L${x(1)} ${y(1)}`, "stroke-dasharray": "3 3" };
  if (chart.diagonal) paths.append(draw("path", diagonal));
  for (const { points, colour } of chart.lines) {
    paths.append(draw("path", { class: "band", d: bandPath(points, x, y), style: { fill: colour } }));
  }
  for (const { points, colour, dash, name } of chart.lines) {
    const look = { class: "curve", "stroke-dasharray": dash, style: { stroke: colour } };
    paths.append(draw("path", { ...look, d: curvePath(points, x, y) }, draw("title", {}, name)));
  }
  const levels = (chart.levels ?? []).map(({ name, y: value, colour, dash }) => acrossLine(y(value),
    { class: "level", "stroke-dasharray": dash, style: { stroke: colour } },
    draw("title", {}, `${name}: ${number(value, 3)}`)));
  return draw("svg", { role: "img", "aria-label": chart.label },
    ...yAxis(chart, bottom, top, y), ...xAxis(chart, x), ...levels, paths,
    ...chart.lines.map((line) => pointMarkers(line, chart, x, y)));
}

/** Lowest and highest value of the vertical axis; zero is always inside. */
function range({ lines, levels = [], y }) {
  const all = lines.flatMap((line) => line.points.flatMap((p) => [p.y, p.low, p.high])).filter(known);
  all.push(...levels.map((level) => level.y));
  const low = y.low ?? Math.min(0, ...all);
  const high = y.high ?? Math.max(...all, low + 0.05);
  const spare = 0.05 * (high - low);
  return [known(y.low) || low === 0 ? low : low - spare, known(y.high) ? high : high + spare];
}

/** Round numbers over a range, about as many as wanted. */
function ticks(low, high, wanted) {
  const rough = (high - low) / wanted || 1;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * size).find((one) => one >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const length = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length }, (_, at) => ({ value: (first + at) * step, digits }));
}

function yAxis(chart, bottom, top, y) {
  return ticks(bottom, top, 5).flatMap(({ value, digits }) => [
    acrossLine(y(value), { class: Math.abs(value) < 1e-9 ? "axis" : "grid" }),
    draw("text", { x: -6, y: y(value) + "%", dy: 4, "text-anchor": "end" }, chart.y.share ? percent(value) : number(value, digits)),
  ]);
}

function acrossLine(height, attributes, ...children) {
  return draw("line", { x2: "100%", y1: height + "%", y2: height + "%", ...attributes }, ...children);
}

function xAxis(chart, x) {
  const mark = (value, text, anchor = "middle") => [
    draw("svg", { class: "tick", x: x(value) + "%", y: "100%" }, draw("line", { class: "axis", y2: 4 })),
    draw("text", { x: x(value) + "%", y: "100%", dy: 17, "text-anchor": anchor }, text),
  ];
  const untrained = chart.x.whole && chart.x.low < 0;
  // Fewer percentages than epochs fit beside each other on a phone.
  const wanted = chart.x.whole ? Math.min(6, Math.max(chart.x.high, 1)) : 4;
  const found = ticks(Math.max(chart.x.low, 0), chart.x.high, wanted)
    // The word "untrained" is wide: ticks that it would cover are left out.
    .filter(({ value }) => !untrained || x(value) > 30)
    .flatMap(({ value, digits }) => mark(value, chart.x.share ? percent(value) : value.toFixed(digits)));
  return untrained ? [...mark(-1, "untrained", "start"), ...found] : found;
}

/** A curve with a gap where a value is undefined. */
function curvePath(points, x, y) {
  return points.map((p, at) => (known(p.y) ? `${at && known(points[at - 1].y) ? "L" : "M"}${x(p.x)} ${y(p.y)}` : "")).join("");
}

/** The band of the intervals: a quadrilateral between each two neighbouring points that have one. */
function bandPath(points, x, y) {
  return points.slice(1).map((p, at) => {
    const before = points[at];
    if (![before.low, before.high, p.low, p.high].every(known)) return "";
    return `M${x(before.x)} ${y(before.high)}L${x(p.x)} ${y(p.high)}L${x(p.x)} ${y(p.low)}L${x(before.x)} ${y(before.low)}z`;
  }).join("");
}

/** Markers with their tooltips; an isolated point shows its interval as a vertical line. */
function pointMarkers({ name, colour, marker, points, shift = 0 }, chart, x, y) {
  const group = draw("g", { transform: `translate(${shift} 0)` });
  const inBand = (p) => known(p?.low);
  points.forEach((p, at) => {
    if (!known(p.y)) return;
    if (inBand(p) && !inBand(points[at - 1]) && !inBand(points[at + 1])) {
      const ends = { x1: x(p.x) + "%", x2: x(p.x) + "%", y1: y(p.low) + "%", y2: y(p.high) + "%" };
      group.append(draw("line", { class: "curve", ...ends, style: { stroke: colour } }));
    }
    if (marker === null) return;
    const where = chart.x.whole ? epochName(p.x) : percent(p.x);
    const text = `${name}, ${where}: ${[number(p.y, 3), p.note].filter(Boolean).join(", ")}`;
    const mark = draw("path", { d: MARKERS[marker], style: { fill: colour } }, draw("title", {}, text));
    group.append(draw("svg", { x: x(p.x) + "%", y: y(p.y) + "%" }, mark));
  });
  return group;
}

/** The chart's numbers as a table, for readers who do not see the chart. */
function numbersTable(chart) {
  const where = (p) => (chart.x.whole ? epochName(p.x) : number(p.x, 3));
  const points = chart.lines.flatMap((line) => line.points.map((p) => [line.name, where(p), number(p.y, 3), p.note || "–"]));
  const levels = (chart.levels ?? []).map((level) => [level.name, "all", number(level.y, 3), "–"]);
  return make("div", { class: "plain", tabindex: 0, role: "region", "aria-label": "Numbers: " + chart.title },
    table({}, ["Line", chart.x.title, "Value", chart.noteTitle], [...points, ...levels]));
}

/** A sample of a line for a legend. */
function lineKey({ colour, dash, marker }) {
  const line = draw("line", { class: "curve", x2: 30, y1: 7, y2: 7, "stroke-dasharray": dash, style: { stroke: colour } });
  const place = { d: MARKERS[marker], transform: "translate(15 7)", style: { fill: colour } };
  return draw("svg", { width: 30, height: 14, "aria-hidden": "true" }, line, known(marker) ? draw("path", place) : null);
}

/**
 * @typedef {{name: string, value: number|null, low?: number|null, high?: number|null, mark?: number|null,
 *   place?: number|null, colour: string, hatch?: string, text: string, note?: string}} Bar `mark`, `place`: values
 *   to compare with; `note` follows the text where there is room: in the tooltip, and for screen readers
 * @typedef {{name: string, small: string, strong?: boolean, bars: Bar[]}} BarRow
 */

/** Bars in HTML, so that long names wrap; `rows` are BarRows, `low` and `high` the values at both ends. */
function barChart(label, rows, high, low = 0) {
  const at = (value) => Math.min(Math.max((value - low) / (high - low), 0), 1) * 100 + "%";
  const between = (start, end) => ({ left: at(start), width: `calc(${at(end)} - ${at(start)})` });
  const ofValue = (value) => between(Math.min(value, 0), Math.max(value, 0));
  const part = (name, style) => make("div", { class: name, style });
  const track = (bar) => make("div", { class: "track", title: `${bar.name}: ${bar.text}${bar.note ?? ""}` },
    make("span", { class: "hidden-text" }, bar.name + ": "),
    low < 0 ? part("zero", { left: at(0) }) : null,
    known(bar.value) ? part("bar", { ...ofValue(bar.value), background: hatched(bar.colour, bar.hatch) }) : null,
    known(bar.low) && known(bar.high) ? part("interval", between(bar.low, bar.high)) : null,
    known(bar.mark) ? part("mark", { left: at(bar.mark) }) : null,
    known(bar.place) ? part("mark place", { left: at(bar.place) }) : null,
    make("span", { class: known(bar.value) ? "value" : "value none" }, bar.text),
    bar.note ? make("span", { class: "hidden-text" }, bar.note) : null);
  return make("ul", { class: "bars", "aria-label": label }, ...rows.map((row) => make("li", {},
    make("div", { class: "name" + (row.strong ? " strong" : "") }, row.name + " ", make("small", {}, row.small)),
    make("div", {}, ...row.bars.map(track)))));
}

/** A legend: a sample of each line or bar, and its name. */
function legend(keys) {
  return make("ul", { class: "keys" }, ...keys.map(([look, text]) => make("li", { class: "key" }, look, text)));
}

const swatch = ({ colour, hatch }) => make("span", { class: "swatch", style: { background: hatched(colour, hatch) } });

function hatched(colour, hatch) {
  const plain = `linear-gradient(${colour}, ${colour})`;
  const stripe = "color-mix(in srgb, var(--card) 60%, transparent)";
  return hatch ? `repeating-linear-gradient(${hatch}, transparent 0 4px, ${stripe} 4px 6.5px), ${plain}` : plain;
}
