// Results of one epoch: the words that count, accuracy by type, and the prediction of failures.

const runsWith = (part) => runs.map((_, at) => at).filter((at) => epochsOf(runs[at][part]).length);

/** Run and epoch in words, for print, where the controls are not shown. */
const shownAs = (run, epoch) => (several ? `${runs[run].name}, ${epochName(epoch)}` : sentence(epochName(epoch)));

/** Shows in a section without results why it has none. */
function nothing(id, why) {
  document.querySelector(`#${id} .drawn`).append(make("p", {}, why));
}

function wordsSection() {
  const possible = runsWith("words");
  if (!possible.length) return nothing("words", runs.map((run) => `${run.name}: ${run.wordsNote}`).join(" "));
  const place = document.querySelector("#words .drawn");
  const high = highestShare(possible);
  runAndEpoch("words", possible, (run) => epochsOf(runs[run].words), (run, epoch) => {
    const groups = runs[run].words[epoch];
    const rows = Object.values(groups).flatMap(Object.values);
    const methods = [...new Set(Object.values(groups).flatMap((one) => Object.keys(one)))];
    const keys = methods.map((method) => [swatch(wordLook(method)), names.wordMethods[method].name]);
    keys.push([make("span", { class: "mark-key" }), "By chance"]);
    if (rows.some(([, , , , place]) => known(place))) keys.push([make("span", { class: "mark-key place" }), "By place"]);
    keys.push([make("span", { class: "interval-key" }), "95% interval"]);
    place.replaceChildren(legend(keys),
      barChart(`P(most important | part of speech), ${epochName(epoch)}`, Object.entries(groups).map(wordRow), high),
      noteLine(`${shownAs(run, epoch)}: share of the words of each part of speech that are the most important word `
        + `of their question; bars end at ${percent(high)}. n: words. Most frequent part of speech first. `
        + runs[run].wordsNote));
  });
}

/** @returns {BarRow} */
function wordRow([group, methods]) {
  const bars = Object.entries(methods).map(([method, [value, low, high, mark, place, , differs]]) => {
    const text = percent(value) + (differs ? "*" : "");
    const note = `; by chance ${percent(mark)}` + (known(place) ? `, by place ${percent(place)}` : "");
    return { name: names.wordMethods[method].name, value, low, high, mark, place, note, ...wordLook(method), text };
  });
  return { name: names.groups[group], small: "n = " + [...new Set(Object.values(methods).map((one) => one[5]))].join("–"), bars };
}

/** Right end of the bars, the same at every epoch: the highest value in steps of a tenth. */
function highestShare(possible) {
  const methods = possible.flatMap((at) => Object.values(runs[at].words)).flatMap(Object.values).flatMap(Object.values);
  const highest = Math.max(...methods.flatMap(([value, , high, chance, place]) => [value, high, chance, place]).filter(known), 0.1);
  return Math.min(Math.ceil(highest * 10) / 10, 1);
}

function wordLook(method) {
  return { colour: names.wordMethods[method].colour, hatch: HATCHES[Object.keys(names.wordMethods).indexOf(method) % 4] };
}

const MOST_TYPES = 16;

function accuracySection() {
  const possible = series.filter((one) => epochsOf(one.accuracy).length);
  if (!possible.length) return nothing("accuracy", "Undefined: no question of these analyses has known answers.");
  const place = document.querySelector("#accuracy .drawn");
  const slider = epochSlider("accuracy-epoch", () => show(slider.epoch()));
  document.querySelector("#accuracy .controls").append(slider.element);
  const show = (epoch) => {
    // All runs are shown side by side; the note names those without an analysis of this epoch.
    const shown = possible.filter((one) => one.accuracy[epoch]);
    const missing = possible.filter((one) => !one.accuracy[epoch]).map((one) => one.name).join(", ");
    const keys = legend(shown.map((one) => [swatch(seriesLook(one)), one.name]));
    const notes = [
      `${sentence(epochName(epoch))}: official VQA accuracy; bars end at 100%. n: questions.`,
      ...report.groups.map((group) => `Group ${group.name}: mean over runs; interval: ${group.band}.`),
      missing ? `No analysis at ${epochName(epoch)}: ${missing}.` : "",
    ];
    place.replaceChildren(several ? keys : "", ...accuracyBars(shown, epoch), noteLine(notes.join(" ")));
  };
  slider.offer(possible.map((one) => epochsOf(one.accuracy)));
  show(slider.epoch());
}

/** The most frequent types; the other types (a data set may have dozens) are shown on demand. */
function accuracyBars(shown, epoch) {
  const rows = accuracyRows(shown, epoch);
  const bars = (some) => barChart(`VQA accuracy by type, ${epochName(epoch)}`, some, 1);
  const more = rows.slice(MOST_TYPES);
  if (!more.length) return [bars(rows)];
  const open = document.querySelector("#accuracy details")?.open;
  const summary = make("summary", {}, count(more.length, "less frequent type"));
  return [bars(rows.slice(0, MOST_TYPES)), make("details", { open }, summary, bars(more))];
}

/** @returns {BarRow[]} */
function accuracyRows(shown, epoch) {
  const all = (one) => Object.values(one.counts.answer_type).reduce((a, b) => a + b, 0);
  const types = ["answer_type", "question_type"].flatMap((kind) => [...new Set(shown.flatMap((one) => one.types[kind]))]
    .map((type) => ({ key: `${kind}/${type}`, name: type, questions: (one) => one.counts[kind][type] })));
  return [{ key: "overall", name: "All questions", questions: all }, ...types].map(({ key, name, questions }) => {
    const n = [...new Set(shown.map(questions).filter(Boolean))].join(", ");
    const small = [key.startsWith("answer_type") ? "answer type" : "", n ? `n = ${n}` : ""].filter(Boolean).join(", ");
    const bars = shown.map((one) => accuracyBar(one, one.accuracy[epoch][key])).filter(Boolean);
    return { name, strong: key === "overall", small, bars };
  }).filter((row) => row.bars.length);
}

/** A run's accuracy is a number; a group's is its mean with both ends of the interval. */
function accuracyBar(one, accuracy) {
  const [value, low, high] = [accuracy].flat();
  return known(value) ? { name: one.name, value, low, high, ...seriesLook(one), text: percent(value, 1) } : null;
}

const FAILURE_CURVES = [
  ["roc", "ROC: the diagonal is chance", "False positive rate", "True positive rate"],
  ["risk_coverage", "Risk by coverage: lower is better", "Share of questions answered", "Share of wrong answers among them"],
  ["calibration", "Calibration: the diagonal is best", "Predicted probability of being right", "Share of right answers"],
];

function failureSection() {
  const possible = runsWith("failure");
  if (!possible.length) return nothing("failure", whyNoFailure());
  const place = document.querySelector("#failure .drawn");
  const curves = {};
  let charts = null;
  runAndEpoch("failure", possible, (run) => epochsOf(runs[run].failure), (run, epoch) => {
    curves[run] ??= readJson("curves-" + run);
    const found = runs[run].failure[epoch];
    const wanted = curves[run][epoch] && FAILURE_CURVES.map((kind) => failureChart(kind, curves[run][epoch], epoch));
    // The charts are reused for another epoch, so that an open table of numbers stays open.
    if (charts) wanted?.forEach((chart, at) => charts[at].show(chart));
    else charts = wanted?.map(lineChart);
    const keys = Object.keys(found).map((set) => [lineKey(featureLook(set)), names.featureSets[set]]);
    const old = "ROC, risk-coverage and calibration are missing: this epoch was analysed by an earlier version, "
      + "which stored no curves. Analyse its checkpoint again to have them.";
    place.replaceChildren(failureTable(found),
      ...(wanted ? [legend(keys), make("div", { class: "charts" }, ...charts)] : [make("p", {}, old)]),
      noteLine(`${shownAs(run, epoch)}, n = ${Object.values(found)[0].n ?? "–"}. Logistic regression on the features named, `
        + "cross-validated, all questions of an image in one fold. Majority: always the more frequent outcome; gain: "
        + "accuracy above it. AURC: area under the risk-coverage curve, lower is better. In brackets: 95% intervals. "
        + names.paperFailure));
  });
}

const whyNoFailure = () => "Undefined: " + (runs.find((one) => one.notMeasured)?.notMeasured
  ?? "not enough right and wrong answers to learn from") + ".";

const featureLook = (set) => lookAt(Object.keys(names.featureSets).indexOf(set));

/** @returns {Chart} */
function failureChart([key, title, across, up], stored, epoch) {
  // Only the few points of calibration get markers; the other two curves have hundreds of points.
  const plain = key === "calibration" ? { dash: "" } : { marker: null };
  const lines = Object.entries(stored).filter(([, curves]) => curves[key]).map(([set, { [key]: { x, y, n } }]) => ({
    name: names.featureSets[set] ?? set, ...featureLook(set), ...plain,
    points: x.map((one, at) => ({ x: one, y: y[at], note: n ? `n = ${n[at]}` : "" })),
  }));
  const highest = Math.max(...lines.flatMap((line) => line.points.map((p) => p.y)), 0.05);
  const high = key === "risk_coverage" ? Math.min(1, Math.ceil(highest * 20) / 20) : 1;
  return {
    title, label: `${title}, ${epochName(epoch)}: ${lines.length} lines; their numbers are in the table below it`,
    lines, diagonal: key !== "risk_coverage", noteTitle: "Questions",
    x: { title: across, low: 0, high: 1, share: true }, y: { title: up, low: 0, high, share: true },
  };
}

const failureTable = (found) => measuresTable("Prediction of failures", "The predictor sees", names.failureColumns, found,
  names.featureSets);

/** A table with a row for each score or feature set; each cell holds the value, chance if known, and the interval. */
function measuresTable(label, first, columns, found, named) {
  const shown = columns.filter(({ key }) => Object.values(found).some((one) => known(one[key]?.[0])));
  const cell = ({ key, percent: digits }, one) => {
    const text = (value) => (digits === null ? number(value, 3) : percent(value, digits));
    const [value, low, high, chance] = one[key] ?? [];
    if (!known(value)) return "–";
    const between = known(low) && known(high) ? ` [${text(low)},\u00a0${text(high)}]` : "";
    return text(value) + (known(chance) ? ` (${text(chance)})` : "") + between;
  };
  return table({ class: "stacks", "aria-label": label }, [first, ...shown.map((one) => one.head)],
    Object.entries(found).map(([name, one]) => [named[name] ?? name, ...shown.map((column) => cell(column, one))]));
}

wordsSection();
accuracySection();
failureSection();
