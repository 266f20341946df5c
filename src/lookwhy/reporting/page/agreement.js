// Agreement over epochs: colour tells the method, dash and marker the run or group; level lines are baselines.

const MEASURES = [
  ["rank_correlation", "Agreement with the annotators", "Rank correlation ρ"],
  ["specificity", "Specific to the question", "ρ, own question minus another’s"],
  ["mean_map", "With the annotators’ mean map", "Rank correlation ρ"],
];
const LEVEL_DASHES = { random: "2 3", centre_prior: "8 4", human: "12 4 2 4" };

/** Each has its own look: groups (means over runs) first, then runs. */
const series = [...report.groups, ...runs];
const levelName = (method, one) => (method === "human" ? `Between ${one.annotators}` : names.baselines[method].name);

function agreementSection() {
  const section = document.getElementById("agreement");
  const place = section.querySelector(".charts");
  const note = section.querySelector(".note");
  const measures = MEASURES.filter(([measure]) => runs.some((run) => run.agreement[measure]));
  if (!measures.length) {
    const drawn = runs.some((run) => known(run.levels.rank_correlation.human));
    place.append(make("p", {}, `No ${drawn ? "image" : "annotator"} maps, so no agreement.`));
    note.remove();
    return;
  }
  // The mean of a group stands for its runs; they can be switched on.
  const hidden = new Set(report.groups.flatMap((group) => group.members.map((at) => runs[at])));
  const charts = measures.map((measure) => lineChart(agreementChart(measure, hidden)));
  const show = () => charts.forEach((chart, at) => chart.show(agreementChart(measures[at], hidden)));
  section.querySelector(".shown").append(...agreementToggles(hidden, show));
  place.append(...charts);
  note.textContent = agreementNote();
}

function agreementNote() {
  const agrees = (run) => Object.keys(run.agreement).length > 0;
  const who = [...new Set(runs.filter(agrees).map((run) => run.annotators))].join(" and ");
  const without = runs.filter((run) => !agrees(run)).map((run) => run.name).join(", ");
  return [
    `Annotators: ${who}. Bands${report.groups.length ? " of single runs" : ""}: 95% confidence intervals. Level lines: baselines on the questions of each run’s last epoch.`,
    ...report.groups.map((group) => `Group ${group.name}: mean of ${group.members.map((at) => runs[at].name).join(", ")}; band: ${group.band}.`),
    ...(without ? [`No agreement is defined in: ${without}.`] : []),
  ].join(" ");
}

/** @returns {Chart} */
function agreementChart([measure, title, axis], hidden) {
  const lines = series.flatMap((one, at) => (hidden.has(one) ? [] : Object.entries(one.agreement[measure] ?? {})
    .filter(([method]) => !hidden.has(method))
    .map(([method, points]) => ({
      name: names.imageMethods[method].name + (several ? ", " + one.name : ""), colour: names.imageMethods[method].colour,
      dash: DASHES[at % 4], marker: at % 4, points: points.map(agreementPoint),
    }))));
  const epochs = runs.flatMap((run) => Object.values(run.agreement).flatMap((methods) => Object.values(methods).flat())).map(([epoch]) => epoch);
  const [low, high] = [Math.min(...epochs), Math.max(...epochs)];
  const single = low === high ? 1 : 0;
  // The points of a single epoch stand side by side; else they would cover each other.
  if (single) lines.forEach((line, at) => { line.shift = (at - (lines.length - 1) / 2) * 11; });
  return {
    title, label: `${title} by epoch: ${lines.length} lines; their numbers are in the table below it`, lines,
    levels: measure === "specificity" ? [] : levels(measure, hidden),
    noteTitle: report.groups.length ? "Interval" : "95% interval",
    x: { title: "Epoch", low: low - single, high: high + single, whole: true }, y: { title: axis },
  };
}

/** A group's points also say how many of its runs have a value. */
function agreementPoint([x, y, low, high, n]) {
  const interval = known(low) ? `[${number(low, 3)}, ${number(high, 3)}]` : "";
  return { x, y, low, high, note: [interval, known(n) ? count(n, "run") : ""].filter(Boolean).join(", ") };
}

/** Baselines of what is shown; one line where several agree, as they do on the same questions. */
function levels(measure, hidden) {
  const found = new Map();
  for (const method of Object.keys(LEVEL_DASHES)) {
    for (const one of series) {
      const y = one.levels[measure][method];
      if (!known(y) || hidden.has(method) || hidden.has(one)) continue;
      const level = { name: levelName(method, one), y, colour: names.baselines[method].colour, dash: LEVEL_DASHES[method] };
      found.set(`${level.name} ${y}`, level);
    }
  }
  return [...found.values()];
}

/** Legends whose entries switch their lines on and off. */
function agreementToggles(hidden, show) {
  const entry = (key, look, text) => {
    const change = (event) => { if (event.target.checked) hidden.delete(key); else hidden.add(key); show(); };
    return make("label", { class: "key" }, make("input", { type: "checkbox", checked: !hidden.has(key), class: "screen", change }), look, text);
  };
  const list = (name, entries) => (entries.length ? make("fieldset", {}, make("legend", {}, name), ...entries) : null);
  const methods = Object.entries(names.imageMethods).filter(([method]) => runs.some((run) => Object.values(run.agreement).some((one) => one[method])));
  const baselines = Object.entries(LEVEL_DASHES).map(([method, dash]) => {
    const titles = new Set(runs.filter((run) => known(run.levels.rank_correlation[method])).map((run) => levelName(method, run)));
    return titles.size ? entry(method, lineKey(names.baselines[method].colour, dash, null), [...titles].join("; ")) : null;
  });
  const look = (one) => lineKey("var(--ink)", DASHES[series.indexOf(one) % 4], series.indexOf(one) % 4);
  return [
    list("Methods", methods.map(([method, { name, colour }]) => entry(method, lineKey(colour, "", null), name))),
    list("Baselines", baselines.filter(Boolean)),
    list("Groups", report.groups.map((group) => entry(group, look(group), `${group.name} (mean of ${group.members.length} runs)`))),
    several ? list("Runs", runs.map((run) => entry(run, look(run), run.name))) : null,
  ].filter(Boolean);
}
