// Agreement over epochs: colour tells the method, dash and marker the run; baselines are level lines.

const MEASURES = [
  ["rank_correlation", "Agreement with the annotators", "Rank correlation ρ"],
  ["specificity", "Specific to the question", "ρ, own question minus another’s"],
  ["mean_map", "With the annotators’ mean map", "Rank correlation ρ"],
];
const LEVEL_DASHES = { random: "2 3", centre_prior: "8 4", human: "12 4 2 4" };

function agreementSection() {
  const section = document.getElementById("agreement");
  const place = section.querySelector(".charts");
  const note = section.querySelector(".note");
  const methods = Object.keys(names.imageMethods);
  const measures = MEASURES.filter(([measure]) => runs.some((run) => run.agreement[measure]));
  if (!measures.length) {
    const drawn = runs.some((run) => known(run.levels.rank_correlation.human));
    place.append(make("p", {}, `No ${drawn ? "image" : "annotator"} maps, so no agreement.`));
    note.remove();
    return;
  }
  const hidden = new Set();
  const charts = measures.map((measure) => lineChart(agreementChart(measure, hidden)));
  const show = () => charts.forEach((chart, at) => chart.show(agreementChart(measures[at], hidden)));
  section.querySelector(".shown").append(...agreementKeys(methods, hidden, show));
  place.append(...charts);
  const agrees = (run) => Object.keys(run.agreement).length > 0;
  const who = [...new Set(runs.filter(agrees).map((run) => run.annotators))].join(" and ");
  const without = runs.filter((run) => !agrees(run)).map((run) => run.name).join(", ");
  note.textContent = `Annotators: ${who}. Bands: 95% confidence intervals. Level lines: baselines on the questions of each run’s last epoch.${without && ` No agreement is defined in: ${without}.`}`;
}

/** @returns {Chart} */
function agreementChart([measure, title, axis], hidden) {
  const epochs = runs.flatMap((run) => Object.values(run.agreement).flatMap((methods) => Object.values(methods))).flatMap((points) => points.map(([epoch]) => epoch));
  const found = [];
  runs.forEach((run, at) => {
    if (hidden.has("run" + at)) return;
    for (const [method, points] of Object.entries(run.agreement[measure] ?? {})) {
      if (hidden.has(method)) continue;
      const { name, colour } = names.imageMethods[method];
      found.push({
        name: several ? `${name}, ${run.name}` : name, colour, dash: DASHES[at % 4], marker: at % 4,
        points: points.map(([x, y, low, high]) => ({ x, y, low, high })),
      });
    }
  });
  const [low, high] = [Math.min(...epochs), Math.max(...epochs)];
  const room = low === high ? 1 : 0;
  // Of a single epoch all points would lie on one another: they stand side by side.
  if (room) found.forEach((line, at) => { line.shift = (at - (found.length - 1) / 2) * 11; });
  return {
    title, label: `${title} by epoch: ${found.length} lines; their numbers are in the table below it`, lines: found,
    levels: measure === "specificity" ? [] : levels(measure, hidden),
    x: { title: "Epoch", low: low - room, high: high + room, whole: true }, y: { title: axis },
  };
}

/** One line where runs agree, as they do on the same questions. */
function levels(measure, hidden) {
  const found = new Map();
  for (const method of Object.keys(LEVEL_DASHES)) {
    runs.forEach((run, at) => {
      const y = run.levels[measure][method];
      if (!known(y) || hidden.has(method) || hidden.has("run" + at)) return;
      const level = { name: levelName(method, run), y, colour: names.baselines[method].colour, dash: LEVEL_DASHES[method] };
      found.set(`${level.name} ${y}`, level);
    });
  }
  return [...found.values()];
}

const levelName = (method, run) => (method === "human" ? `Between ${run.annotators}` : names.baselines[method].name);

/** Legends whose entries switch their lines on and off. */
function agreementKeys(methods, hidden, show) {
  const entry = (key, look, text) => {
    const changed = (event) => { if (event.target.checked) hidden.delete(key); else hidden.add(key); show(); };
    return make("label", { class: "key" }, make("input", { type: "checkbox", checked: true, class: "screen", change: changed }), look, text);
  };
  const group = (name, entries) => make("fieldset", {}, make("legend", {}, name), ...entries);
  const drawn = methods.filter((method) => runs.some((run) => Object.values(run.agreement).some((one) => one[method])));
  const baselines = Object.keys(LEVEL_DASHES).filter((method) => runs.some((run) => known(run.levels.rank_correlation[method])));
  const named = (method) => [...new Set(runs.filter((run) => known(run.levels.rank_correlation[method])).map((run) => levelName(method, run)))].join("; ");
  const found = [
    group("Methods", drawn.map((method) => entry(method, lineKey(names.imageMethods[method].colour, "", null), names.imageMethods[method].name))),
    group("Baselines", baselines.map((method) => entry(method, lineKey(names.baselines[method].colour, LEVEL_DASHES[method], null), named(method)))),
  ];
  if (several) found.push(group("Runs", runs.map((run, at) => entry("run" + at, lineKey("var(--ink)", DASHES[at % 4], at % 4), run.name))));
  return found;
}
