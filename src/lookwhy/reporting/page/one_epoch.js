// Results of one epoch: which words count, accuracy by type, and the prediction of failures.

const epochsOf = (found) => Object.keys(found).map(Number).sort((a, b) => a - b);
const runsWith = (part) => runs.map((_, at) => at).filter((at) => epochsOf(runs[at][part]).length);

/** On paper no control says which run and epoch are shown. */
const shownAs = (run, epoch) => (several ? `${runs[run].name}, ${epochName(epoch)}` : sentence(epochName(epoch)));

/** A section that has nothing to show says why. */
function nothing(id, why) {
  document.querySelector(`#${id} .drawn`).append(make("p", {}, why));
}

function wordsSection() {
  const possible = runsWith("words");
  if (!possible.length) return nothing("words", "Undefined: no part of speech has a value in these analyses.");
  const place = document.querySelector("#words .drawn");
  const heights = possible.flatMap((at) => Object.values(runs[at].words)).flatMap((groups) => Object.values(groups))
    .flatMap((methods) => Object.values(methods)).flatMap(([value, , high, chance]) => [value, high, chance]).filter(known);
  const high = Math.min(Math.ceil(Math.max(...heights, 0.1) * 10) / 10, 1);
  runAndEpoch("words", possible, (run) => epochsOf(runs[run].words), (run, epoch) => {
    const found = runs[run].words[epoch];
    const rows = Object.entries(found).map(([group, methods]) => ({
      name: names.groups[group],
      small: "n = " + [...new Set(Object.values(methods).map((one) => one[4]))].join("–"),
      bars: Object.entries(methods).map(([method, [value, low, upper, chance]]) => ({
        name: names.wordMethods[method].name, value, low, high: upper, mark: chance,
        colour: names.wordMethods[method].colour, hatch: wordHatch(method), text: percent(value),
      })),
    }));
    const methods = [...new Set(Object.values(found).flatMap((one) => Object.keys(one)))];
    const keys = methods.map((method) => [swatch(names.wordMethods[method].colour, wordHatch(method)), names.wordMethods[method].name]);
    keys.push([make("span", { class: "mark-key" }), "By chance"], [make("span", { class: "interval-key" }), "95% interval"]);
    place.replaceChildren(legend(keys), barChart(`P(most important | part of speech), ${epochName(epoch)}`, rows, high),
      make("p", { class: "note" }, `${shownAs(run, epoch)}: share of the words of each part of speech that are the most important word of their question; bars end at ${percent(high)}. n: words. Most frequent part of speech first. Tagged by ${runs[run].tagger}.`));
  });
}

const wordHatch = (method) => HATCHES[Object.keys(names.wordMethods).indexOf(method) % 4];

const MOST_TYPES = 16;

function accuracySection() {
  const possible = series.filter((one) => epochsOf(one.accuracy).length);
  if (!possible.length) return nothing("accuracy", "Undefined: no question of these analyses has known answers.");
  const place = document.querySelector("#accuracy .drawn");
  const slider = epochSlider("accuracy-epoch", () => show(slider.epoch()));
  document.querySelector("#accuracy .controls").append(slider.element);
  const show = (epoch) => {
    // All runs side by side; the note names those without an analysis of this epoch.
    const shown = possible.filter((one) => one.accuracy[epoch]);
    const missing = possible.filter((one) => !one.accuracy[epoch]).map((one) => one.name).join(", ");
    const keys = shown.map((one) => [swatch(...barLook(one)), one.name]);
    const means = report.groups.map((group) => ` Group ${group.name}: mean over runs; interval: ${group.band}.`).join("");
    place.replaceChildren(several ? legend(keys) : "", ...accuracyBars(accuracyRows(shown, epoch), epoch),
      make("p", { class: "note" }, `${sentence(epochName(epoch))}: official VQA accuracy; bars end at 100%. n: questions.${means}${missing && ` No analysis at ${epochName(epoch)}: ${missing}.`}`));
  };
  slider.offer(possible.map((one) => epochsOf(one.accuracy)));
  show(slider.epoch());
}

const barLook = (one) => [SERIES_COLOURS[series.indexOf(one) % 6], HATCHES[series.indexOf(one) % 4]];

/** The most frequent types, and the others (a data set may have dozens) on demand. */
function accuracyBars(rows, epoch) {
  const [shown, more] = [rows.slice(0, MOST_TYPES), rows.slice(MOST_TYPES)];
  const label = `VQA accuracy by type, ${epochName(epoch)}`;
  const open = document.querySelector("#accuracy details")?.open;
  const rest = () => make("details", { open }, make("summary", {}, `${count(more.length, "less frequent type")}`), barChart(label, more, 1));
  return [barChart(label, shown, 1), ...(more.length ? [rest()] : [])];
}

function accuracyRows(shown, epoch) {
  const rows = [{ key: "overall", name: "All questions", count: (one) => Object.values(one.counts.answer_type).reduce((a, b) => a + b, 0) }];
  for (const kind of ["answer_type", "question_type"]) {
    const types = new Set(shown.flatMap((one) => one.types[kind]));
    rows.push(...[...types].map((type) => ({ key: `${kind}/${type}`, name: type, count: (one) => one.counts[kind][type] })));
  }
  return rows.map(({ key, name, count }) => {
    const n = [...new Set(shown.map(count).filter(Boolean))].join(", ");
    const small = [key.startsWith("answer_type") ? "answer type" : "", n ? `n = ${n}` : ""].filter(Boolean).join(", ");
    return { name, strong: key === "overall", small, bars: shown.map((one) => accuracyBar(one, one.accuracy[epoch][key])).filter(Boolean) };
  }).filter((row) => row.bars.length);
}

/** A run has a number, a group a mean with both ends of its interval. */
function accuracyBar(one, accuracy) {
  const [value, low, high] = [accuracy].flat();
  const [colour, hatch] = barLook(one);
  return known(value) ? { name: one.name, value, low, high, colour, hatch, text: percent(value, 1) } : null;
}

const FAILURE_CURVES = [
  ["roc", "ROC: the diagonal is chance", "False positive rate", "True positive rate"],
  ["risk_coverage", "Risk by coverage: lower is better", "Share of questions answered", "Share of wrong answers among them"],
  ["calibration", "Calibration: the diagonal is best", "Predicted probability of being right", "Share of right answers"],
];

function failureSection() {
  const possible = runsWith("failure");
  if (!possible.length) return nothing("failure", "Undefined: not enough right and wrong answers to learn from.");
  const place = document.querySelector("#failure .drawn");
  const curves = {};
  const sets = Object.keys(names.featureSets);
  const look = (set) => ({ colour: SERIES_COLOURS[sets.indexOf(set) % 6], dash: DASHES[sets.indexOf(set) % 4], marker: sets.indexOf(set) % 4 });
  let charts = null;
  runAndEpoch("failure", possible, (run) => epochsOf(runs[run].failure), (run, epoch) => {
    curves[run] ??= readJson("curves-" + run);
    const stored = curves[run][epoch];
    const found = runs[run].failure[epoch];
    if (!charts || !stored) charts = stored ? FAILURE_CURVES.map((kind) => lineChart(failureChart(kind, stored, look, epoch))) : null;
    else charts.forEach((chart, at) => chart.show(failureChart(FAILURE_CURVES[at], stored, look, epoch)));
    const keys = legend(Object.keys(found).map((set) => [lineKey(look(set).colour, look(set).dash, look(set).marker), names.featureSets[set]]));
    const old = make("p", {}, "ROC, risk-coverage and calibration are missing: this epoch was analysed by an earlier version, which stored no curves. Analyse its checkpoint again to have them.");
    place.replaceChildren(failureTable(found), ...(charts ? [keys, make("div", { class: "charts" }, ...charts)] : [old]),
      make("p", { class: "note" }, `${shownAs(run, epoch)}. Logistic regression on what is named, cross-validated, all questions of an image in one fold. AURC: area under the risk-coverage curve, lower is better. Paper: ${names.paperFailure} accuracy (Goyal et al. 2016, VQA v1).`));
  });
}

/** @returns {Chart} */
function failureChart([key, title, across, up], stored, look, epoch) {
  const found = Object.entries(stored).filter(([, one]) => one[key]).map(([set, one]) => {
    const { colour, dash, marker: kind } = look(set);
    const points = one[key].x.map((x, i) => ({ x, y: one[key].y[i], note: one[key].n ? `n = ${one[key].n[i]}` : "" }));
    return { name: names.featureSets[set] ?? set, colour, dash: key === "calibration" ? "" : dash, marker: key === "calibration" ? kind : null, points };
  });
  const highest = Math.max(...found.flatMap((line) => line.points.map((p) => p.y)), 0.05);
  return {
    title, label: `${title}, ${epochName(epoch)}: ${found.length} lines; their numbers are in the table below it`,
    lines: found, diagonal: key !== "risk_coverage", noteTitle: "Questions",
    x: { title: across, low: 0, high: 1, share: true },
    y: { title: up, low: 0, high: key === "risk_coverage" ? Math.min(1, Math.ceil(highest * 20) / 20) : 1, share: true },
  };
}

function failureTable(found) {
  const heads = ["The predictor sees", "Accuracy", "Always the more frequent", "AUROC", "AURC", "n"];
  const rows = Object.entries(found).map(([set, one]) => {
    const cells = [percent(one.accuracy, 1), percent(one.majority_accuracy, 1), number(one.auroc, 3), number(one.aurc, 3), known(one.n) ? String(one.n) : "–"];
    return make("tr", { role: "row" }, make("th", { scope: "row", role: "rowheader" }, names.featureSets[set]),
      ...cells.map((text, at) => make("td", { role: "cell", "data-head": heads[at + 1] }, make("span", {}, text))));
  });
  const head = make("tr", { role: "row" }, ...heads.map((text) => make("th", { scope: "col", role: "columnheader" }, text)));
  return make("table", { class: "stacks", role: "table", "aria-label": "Prediction of failures" }, make("thead", { role: "rowgroup" }, head), make("tbody", { role: "rowgroup" }, ...rows));
}
