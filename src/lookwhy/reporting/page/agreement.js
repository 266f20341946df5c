// Agreement over epochs. Colour: method; dashes and marker: run or group; horizontal lines: baselines.

const MEASURES = [
  ["rank_correlation", "Agreement with the annotators", "Rank correlation ρ"],
  ["specificity", "Specific to the question", "ρ, own question minus another’s"],
  ["mean_map", "With the annotators’ mean map", "Rank correlation ρ"],
];
const LEVEL_DASHES = { random: "2 3", centre_prior: "8 4", human: "12 4 2 4" };

/** Groups of runs first, then runs: each has its own dash, marker and hatch. */
const series = [...report.groups, ...runs];
const seriesLook = (one) => lookAt(series.indexOf(one));
const levelName = (method, one) => (method === "human" ? `Between ${one.annotators}` : names.baselines[method].name);
const levelLook = (method) => ({ colour: names.baselines[method].colour, dash: LEVEL_DASHES[method] });

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
  // The runs of a group are hidden at first: its mean stands for them.
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
  const members = (group) => group.members.map((at) => runs[at].name).join(", ");
  return [
    `Annotators: ${who}.`,
    `Bands${report.groups.length ? " of single runs" : ""}: 95% confidence intervals.`,
    "Level lines: baselines on the questions of each run’s last epoch.",
    ...report.groups.map((group) => `Group ${group.name}: mean of ${members(group)}; band: ${group.band}.`),
    without ? `No agreement is defined in: ${without}.` : "",
  ].join(" ").trim();
}

/** @returns {Chart} */
function agreementChart([measure, title, axis], hidden) {
  const curves = (one) => Object.entries(one.agreement[measure] ?? {}).filter(([method]) => !hidden.has(method));
  const lines = series.filter((one) => !hidden.has(one)).flatMap((one) => curves(one).map(([method, points]) => {
    const { name, colour } = names.imageMethods[method];
    return { ...seriesLook(one), name: several ? `${name}, ${one.name}` : name, colour, points: points.map(agreementPoint) };
  }));
  const methods = runs.flatMap((run) => Object.values(run.agreement)).flatMap(Object.values);
  const epochs = methods.flatMap((points) => points.map(([epoch]) => epoch));
  const [low, high] = [Math.min(...epochs), Math.max(...epochs)];
  const room = low === high ? 1 : 0;
  // The points of a single epoch are drawn side by side, because they would cover each other.
  if (room) lines.forEach((line, at) => { line.shift = (at - (lines.length - 1) / 2) * 11; });
  return {
    title, label: `${title} by epoch: ${lines.length} lines; their numbers are in the table below it`,
    lines, levels: measure === "specificity" ? [] : levels(measure, hidden),
    noteTitle: report.groups.length ? "Interval" : "95% interval",
    x: { title: "Epoch", low: low - room, high: high + room, whole: true }, y: { title: axis },
  };
}

/** A point of a group also says how many of its runs have a value. */
function agreementPoint([x, y, low, high, n]) {
  const interval = known(low) ? `[${number(low, 3)}, ${number(high, 3)}]` : "";
  return { x, y, low, high, note: [interval, known(n) ? count(n, "run") : ""].filter(Boolean).join(", ") };
}

/** Baselines of the series shown; series with equal values (the same questions) share one line. */
function levels(measure, hidden) {
  const found = new Map();
  for (const method of Object.keys(LEVEL_DASHES).filter((one) => !hidden.has(one))) {
    for (const one of series.filter((other) => !hidden.has(other))) {
      const y = one.levels[measure][method];
      const name = levelName(method, one);
      if (known(y)) found.set(`${name} ${y}`, { name, y, ...levelLook(method) });
    }
  }
  return [...found.values()];
}

/** Legends with checkboxes that show and hide lines. */
function agreementToggles(hidden, show) {
  const entry = (key, look, text) => {
    const change = ({ target }) => { if (target.checked) hidden.delete(key); else hidden.add(key); show(); };
    const box = make("input", { type: "checkbox", checked: !hidden.has(key), class: "screen", change });
    return make("label", { class: "key" }, box, lineKey(look), text);
  };
  const seriesEntry = (one, text) => entry(one, { ...seriesLook(one), colour: "var(--ink)" }, text);
  const methods = Object.keys(names.imageMethods)
    .filter((method) => runs.some((run) => Object.values(run.agreement).some((one) => one[method])))
    .map((method) => entry(method, { colour: names.imageMethods[method].colour }, names.imageMethods[method].name));
  const baselines = Object.keys(LEVEL_DASHES).map((method) => {
    const titles = runs.filter((run) => known(run.levels.rank_correlation[method])).map((run) => levelName(method, run));
    return titles.length ? entry(method, levelLook(method), [...new Set(titles)].join("; ")) : null;
  });
  const groups = report.groups.map((group) => seriesEntry(group, `${group.name} (mean of ${group.members.length} runs)`));
  const single = several ? runs.map((run) => seriesEntry(run, run.name)) : [];
  return Object.entries({ Methods: methods, Baselines: baselines.filter(Boolean), Groups: groups, Runs: single })
    .filter(([, entries]) => entries.length)
    .map(([name, entries]) => make("fieldset", {}, make("legend", {}, name), ...entries));
}

agreementSection();
