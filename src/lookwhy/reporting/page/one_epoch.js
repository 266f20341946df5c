// What one epoch shows: which words count, accuracy by type, and the prediction of failures.

const numbered = (found) => Object.keys(found).map(Number).sort((a, b) => a - b);
const runsWith = (part) => runs.map((_, at) => at).filter((at) => numbered(runs[at][part]).length);

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
  runAndEpoch("words", possible, (run) => numbered(runs[run].words), (run, epoch) => {
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
    place.replaceChildren(barKeys(keys), barChart(`P(most important | part of speech), ${epochName(epoch)}`, rows, high),
      make("p", { class: "note" }, `${shownAs(run, epoch)}: share of the words of each part of speech that are the most important word of their question; bars end at ${percent(high)}. n: words. Most frequent part of speech first. Tagged by ${runs[run].tagger}.`));
  });
}

const wordHatch = (method) => HATCHES[Object.keys(names.wordMethods).indexOf(method) % 4];

const MOST_TYPES = 16;

function accuracySection() {
  const possible = runsWith("accuracy");
  if (!possible.length) return nothing("accuracy", "Undefined: no question of these analyses has known answers.");
  const place = document.querySelector("#accuracy .drawn");
  const controls = document.querySelector("#accuracy .controls");
  const slider = epochSlider("accuracy-epoch", () => show(slider.epoch()));
  controls.append(slider.element);
  const show = (epoch) => {
    // All runs side by side; a run that ended earlier, or skipped this epoch, is left out and told.
    const there = possible.filter((at) => runs[at].accuracy[epoch]);
    const away = possible.filter((at) => !runs[at].accuracy[epoch]).map((at) => runs[at].name);
    const keys = there.map((at) => [swatch(RUN_COLOURS[at % 6], HATCHES[at % 4]), runs[at].name]);
    const gone = away.length ? ` No analysis at ${epochName(epoch)}: ${away.join(", ")}.` : "";
    place.replaceChildren(several ? barKeys(keys) : "",
      ...accuracyBars(accuracyRows(there, epoch), epoch),
      make("p", { class: "note" }, `${sentence(epochName(epoch))}: official VQA accuracy; bars end at 100%. n: questions.${gone}`));
  };
  slider.offer(possible.map((at) => numbered(runs[at].accuracy)));
  show(slider.epoch());
}

/** The most frequent types, and the others (a data set may have dozens) on demand. */
function accuracyBars(rows, epoch) {
  const [shown, more] = [rows.slice(0, MOST_TYPES), rows.slice(MOST_TYPES)];
  const label = `VQA accuracy by type, ${epochName(epoch)}`;
  const open = document.querySelector("#accuracy details")?.open;
  const rest = () => make("details", { open }, make("summary", {}, `${count(more.length, "less frequent type")}`), barChart(label, more, 1));
  return [barChart(label, shown, 1), ...(more.length ? [rest()] : [])];
}

function accuracyRows(there, epoch) {
  const rows = [{ key: "overall", name: "All questions", kind: null }];
  for (const [kind, what] of [["answer_type", "answers"], ["question_type", "questions"]]) {
    const types = new Set(there.flatMap((at) => runs[at].types[kind]));
    rows.push(...[...types].map((type) => ({ key: `${kind}/${type}`, name: type, kind, what })));
  }
  return rows.filter(({ key }) => there.some((at) => known(runs[at].accuracy[epoch][key]))).map(({ key, name, kind, what }) => {
    const counts = there.map((at) => (kind ? runs[at].counts[kind][name] : Object.values(runs[at].counts.answer_type).reduce((a, b) => a + b, 0)));
    const n = [...new Set(counts.filter(Boolean))].join(", ");
    return {
      name, strong: !kind, small: [what === "answers" ? "answer type" : "", n ? `n = ${n}` : ""].filter(Boolean).join(", "),
      bars: there.filter((at) => known(runs[at].accuracy[epoch][key])).map((at) => ({
        name: runs[at].name, value: runs[at].accuracy[epoch][key], colour: RUN_COLOURS[at % 6], hatch: HATCHES[at % 4],
        text: percent(runs[at].accuracy[epoch][key], 1),
      })),
    };
  });
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
  const look = (set) => ({ colour: RUN_COLOURS[sets.indexOf(set) % 6], dash: DASHES[sets.indexOf(set) % 4], marker: sets.indexOf(set) % 4 });
  let charts = null;
  runAndEpoch("failure", possible, (run) => numbered(runs[run].failure), (run, epoch) => {
    curves[run] ??= readJson("curves-" + run);
    const stored = curves[run][epoch];
    const found = runs[run].failure[epoch];
    if (!charts || !stored) charts = stored ? FAILURE_CURVES.map((kind) => lineChart(failureChart(kind, stored, look, epoch))) : null;
    else charts.forEach((chart, at) => chart.show(failureChart(FAILURE_CURVES[at], stored, look, epoch)));
    const keys = barKeys(Object.keys(found).map((set) => [lineKey(look(set).colour, look(set).dash, look(set).marker), names.featureSets[set]]));
    const old = make("p", {}, "ROC, risk-coverage and calibration are missing: this epoch was analysed by an earlier version, which stored no curves. Analyse its checkpoint again to have them.");
    place.replaceChildren(failureTable(found), ...(charts ? [keys, make("div", { class: "charts" }, ...charts)] : [old]),
      make("p", { class: "note" }, `${shownAs(run, epoch)}. Logistic regression on what is named, cross-validated, all questions of an image in one fold. AURC: area under the risk-coverage curve, lower is better. Paper: ${names.paperFailure} accuracy (Goyal et al. 2016, VQA v1).`));
  });
}

/** @returns {Chart} */
function failureChart([key, title, across, up], stored, look, epoch) {
  const found = Object.entries(stored).filter(([, one]) => one[key]).map(([set, one]) => {
    const { colour, dash, marker: kind } = look(set);
    const points = one[key].x.map((x, i) => ({ x, y: one[key].y[i], n: one[key].n?.[i] }));
    return { name: names.featureSets[set] ?? set, colour, dash: key === "calibration" ? "" : dash, marker: key === "calibration" ? kind : null, points };
  });
  const highest = Math.max(...found.flatMap((line) => line.points.map((p) => p.y)), 0.05);
  return {
    title, label: `${title}, ${epochName(epoch)}: ${found.length} lines; their numbers are in the table below it`,
    lines: found, diagonal: key !== "risk_coverage",
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
