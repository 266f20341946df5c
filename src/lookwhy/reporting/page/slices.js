// Measures by slice: for which questions a number holds.

const SLICE_NOTES = {
  outcome: (run) => `Right: a VQA accuracy of at least ${percent(report.examples[run].correctAbove)}.`,
  confidence: () => "Low, middle, high: thirds of the questions by the probability of the answer; equal ones stay together.",
  region: () => "Small, middle, large: thirds of the questions by the share of the image that the mask of what a question "
    + "needs covers; equal ones stay together. Unknown: no mask.",
};
/** Ways of slicing that depend on the model: at another epoch, a slice holds other questions. */
const MOVING = ["outcome", "confidence"];

function slicesSection() {
  const stored = runs.map((_, at) => slicesOf(at));
  const possible = runs.map((_, at) => at).filter((at) => epochsOf(stored[at]).length);
  if (!possible.length) return nothing("slices", "Undefined: these analyses hold no value by question.");
  const { ways, measures } = report.slices;
  const all = possible.flatMap((at) => Object.values(stored[at]));
  const place = document.querySelector("#slices .drawn");
  const opened = new Set();
  const show = () => {
    const [way, epoch] = [by.select.value, slider.epoch()];
    const measure = measures.find(({ key }) => key === measureMenu.select.value);
    const range = sliceRange(all.map((one) => one[way]?.values[measure.key]).filter(Boolean), measure);
    const shown = possible.filter((at) => stored[at][epoch]?.[way]?.values[measure.key]);
    const chart = (at) => sliceChart(at, stored[at][epoch][way], measure, range, opened, `${ways[way]}, ${epochName(epoch)}`);
    const methods = shown.flatMap((at) => Object.keys(stored[at][epoch][way].values[measure.key]));
    place.replaceChildren(sliceLegend(measure, methods), make("div", { class: "charts" }, ...shown.map(chart)),
      noteLine(sliceNote(way, measure, epoch, range, possible, shown, stored)));
  };
  const used = (way) => all.some((one) => one[way]);
  const measured = ({ key }) => all.some((one) => Object.values(one).some(({ values }) => values[key]));
  const by = menu("slices-by", "Slice by", Object.entries(ways).filter(([way]) => used(way)), show);
  const measureMenu = menu("slices-measure", "Measure", measures.filter(measured).map(({ key, name }) => [key, name]), show);
  const slider = epochSlider("slices-epoch", show);
  document.querySelector("#slices .controls").append(by.element, measureMenu.element, slider.element);
  slider.offer(possible.map((at) => epochsOf(stored[at])));
  show();
}

/** Ends of the bars, the same at every epoch and for every run; wide intervals of a few questions may leave them. */
function sliceRange(found, { percent: share }) {
  if (share) return [0, 1];
  const cells = found.flatMap((methods) => Object.values(methods)).flat().filter(Boolean);
  const ends = cells.flatMap(([value, low, high, n]) => (n < report.slices.fewest ? [value] : [value, low, high])).filter(known);
  const step = (value) => Math.ceil(value * 20 - 1e-9) / 20;
  return [-step(-Math.min(0, ...ends)), step(Math.max(0.05, ...ends))];
}

/** Name and look of a method or score of a measure; a measure of the answers has the method "". */
function sliceLook({ key, name }, method) {
  const scores = { failure: names.featureSets, selective: names.scores }[key.split("/")[0]];
  if (scores) return { name: scores[method] ?? method, ...lookAt(Object.keys(scores).indexOf(method)), hatch: "" };
  const known = key.startsWith("question/") ? names.wordMethods : names.imageMethods;
  const look = known[method] ?? names.baselines[method] ?? { name: method || name, colour: names.series[0] };
  const hatch = method in names.baselines ? "" : HATCHES[Math.max(Object.keys(known).indexOf(method), 0) % 4];
  return { ...look, hatch };
}

const orderedMethods = (methods) => {
  const last = (method) => method in names.baselines;
  return [...new Set(methods)].filter((method) => method !== "chance").sort((a, b) => last(a) - last(b) || a.localeCompare(b));
};

function sliceLegend(measure, methods) {
  const keys = orderedMethods(methods).map((method) => sliceLook(measure, method)).map((look) => [swatch(look), look.name]);
  if (methods.includes("chance")) keys.push([make("span", { class: "mark-key" }), names.baselines.chance.name]);
  return legend([...keys, [make("span", { class: "interval-key" }), "95% interval"]]);
}

/** Bars of one run, and on demand their numbers. */
function sliceChart(run, { slices, values }, measure, [low, high], opened, what) {
  const columns = values[measure.key];
  const cells = slices.map(([name], at) => ({
    name: sentence(name),
    chance: columns.chance?.[at]?.[0],
    cells: orderedMethods(Object.keys(columns)).filter((method) => columns[method][at])
      .map((method) => [sliceLook(measure, method), columns[method][at]]),
  })).filter((row) => row.cells.length);
  const label = `${measure.name}, ${runs[run].name}, ${what}`;
  const list = () => { if (numbers.open) numbers.lastChild.replaceWith(sliceNumbers(label, cells, measure)); };
  const toggled = () => { if (numbers.open) opened.add(run); else opened.delete(run); list(); };
  const numbers = make("details", { open: opened.has(run), toggle: toggled }, make("summary", {}, "Numbers"), make("div"));
  return make("div", { class: "chart" }, several ? make("h3", {}, runs[run].name) : null,
    barChart(label, cells.map((row) => sliceRow(row, measure)), high, low), numbers);
}

const isOfWords = ({ key }) => key.startsWith("question/most_important/");
const sliceText = (value, { percent: share }) => (share ? percent(value, 1) : number(value, 3));
const between = (low, high, measure) => (known(low) ? `[${sliceText(low, measure)}, ${sliceText(high, measure)}]` : "");

/** @returns {BarRow} */
function sliceRow({ name, chance, cells }, measure) {
  const bars = cells.map(([look, [value, low, high, n]]) => ({
    ...look, value, low, high, mark: chance, text: sliceText(value, measure) + fewMark(n),
    note: `${known(low) ? `, 95% interval ${between(low, high, measure)}` : ""}, n = ${n}`
      + (known(chance) ? `, by chance ${sliceText(chance, measure)}` : ""),
  }));
  return { name, small: countsText(cells.map(([, [, , , n]]) => n)), bars };
}

function sliceNumbers(label, rows, measure) {
  const lines = rows.flatMap(({ name, cells }) => cells.map(([look, [value, low, high, n]]) => (
    [name, look.name, sliceText(value, measure), between(low, high, measure) || "–", n + fewMark(n)])));
  return make("div", { class: "plain", tabindex: 0, role: "region", "aria-label": "Numbers: " + label },
    table({}, ["Slice", "Method", "Value", "95% interval", isOfWords(measure) ? "Words" : "Questions"], lines));
}

function sliceNote(way, measure, epoch, range, possible, shown, stored) {
  const without = possible.filter((at) => !shown.includes(at)).map((at) => runs[at].name).join(", ");
  const who = [...new Set(shown.map((at) => runs[at].annotators))].join(" and ");
  const types = Math.max(0, ...shown.map((at) => stored[at][epoch][way].leftOut ?? 0));
  const epochs = Math.max(...possible.map((at) => runs[at].epochs.length - epochsOf(stored[at]).length));
  return [
    `${sentence(epochName(epoch))}: ${measure.name}. Bars: from ${range.map((one) => sliceText(one, measure)).join(" to ")}. `
      + `n: ${isOfWords(measure) ? "words of the part of speech" : "questions with a value"}.`,
    fewNote + " Intervals cluster by image.",
    /^image\/(?!faithfulness|localisation)/.test(measure.key) && who ? `Annotators: ${who}.` : "",
    ...new Set(shown.map((at) => SLICE_NOTES[way]?.(at)).filter(Boolean)),
    MOVING.includes(way) ? "At another epoch, a slice holds other questions." : "",
    types ? `${count(types, "less frequent type")} left out.` : "",
    epochs ? `${count(epochs, "epoch")} left out, to keep the page small.` : "",
    without ? `No value at ${epochName(epoch)}: ${without}.` : "",
  ].filter(Boolean).join(" ");
}

slicesSection();
