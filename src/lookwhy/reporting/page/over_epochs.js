// Measures over epochs, in any section. Colour: method; dashes and marker: run or group; gray dashes: baselines.

const LEVEL_DASHES = { random: "2 3", centre_prior: "8 4", human: "12 4 2 4", chance: "" };

/** Groups of runs first, then runs: each has its own dash, marker and hatch. */
const series = [...report.groups, ...runs];
const seriesLook = (one) => lookAt(series.indexOf(one));
const levelName = (method, one) => (method === "human" ? `Between ${one.annotators}` : names.baselines[method].name);
const levelLook = (method) => ({ colour: names.baselines[method].colour, dash: LEVEL_DASHES[method] });

/** The runs of a group are hidden at first: its mean stands for them. */
const hiddenAtFirst = () => new Set(report.groups.flatMap((group) => group.members.map((at) => runs[at])));
const hasAny = (run, measures) => measures.some((measure) => run.measures[measure]);

/**
 * The charts of a section, one a measure, with checkboxes that show and hide lines.
 * @param {string} id of the section
 * @param {{key: string, name: string, axis: string, usual?: boolean, share?: boolean}[]} measures
 *   `usual`: shown at first, the others on demand; `share`: percent of 0 to 100
 * @param {Object} lines name and colour of each line of a run; `what` they are
 * @param {boolean} sliced whether the curves of a slice of the questions can be chosen
 */
function measureCharts(id, measures, lines, { what = "Methods", levelNames = levelName, sliced = false } = {}) {
  const section = document.getElementById(id);
  const hidden = hiddenAtFirst();
  const keys = measures.map(({ key }) => key);
  const chosen = sliced ? sliceFilter(id, keys, () => show()) : () => null;
  const chartOf = (measure) => measureChart(measure, keys, lines, hidden, levelNames, chosen());
  const charts = measures.map((measure) => lineChart(chartOf(measure)));
  const show = () => charts.forEach((chart, at) => chart.show(chartOf(measures[at])));
  section.querySelector(".shown").append(...toggles(what, keys, lines, hidden, show, levelNames));
  section.querySelector(".charts").append(...charts);
  return charts;
}

/** @returns {Chart} */
function measureChart({ key, name: title, axis, share }, keys, lineNames, hidden, levelNames, slice) {
  const shown = slice ? runsOfShown(hidden) : series.filter((one) => !hidden.has(one));
  const measured = (one) => (slice ? curvesOfSlice(one, key, slice) : one.measures[key] ?? {});
  const curves = shown.flatMap((one) => Object.entries(measured(one))
    .filter(([method]) => !hidden.has(method)).map(([method, points]) => ({ one, method, points })));
  // A baseline without a marker would not be seen at a single epoch: there it is a level.
  const isLevel = ({ method, points }) => method in LEVEL_DASHES && points.length === 1;
  const lines = curves.filter((curve) => !isLevel(curve)).map(({ one, method, points }) => {
    const own = method in LEVEL_DASHES ? levelNames(method, one) : lineNames[method].name;
    const look = method in LEVEL_DASHES ? { ...levelLook(method), marker: null }
      : { ...seriesLook(one), colour: lineNames[method].colour };
    return { ...look, name: several ? `${own}, ${one.name}` : own, points: points.map(method in LEVEL_DASHES ? withoutBand : measurePoint) };
  });
  const all = runs.flatMap((run) => keys.flatMap((one) => Object.values(run.measures[one] ?? {})));
  const epochs = all.flatMap((points) => points.map(([epoch]) => epoch));
  const [low, high] = [Math.min(...epochs), Math.max(...epochs)];
  const room = low === high ? 1 : 0;
  // The points of a single epoch are drawn side by side, because they would cover each other.
  if (room) lines.forEach((line, at) => { line.shift = (at - (lines.length - 1) / 2) * 11; });
  const single = curves.filter(isLevel).map(({ one, method, points }) => [method, one, points[0][1]]);
  return {
    title, label: `${title} by epoch: ${lines.length} lines; their numbers are in the table below it`,
    lines, levels: key === "specificity" ? [] : levels(key, hidden, single, levelNames, slice ? [] : series),
    noteTitle: report.groups.length ? "Interval" : "95% interval",
    x: { title: slice ? `Epoch; ${slice.name}${questionsOf(curves)}` : "Epoch", low: low - room, high: high + room, whole: true },
    y: share ? { title: axis, low: 0, high: 1, share } : { title: slice && !lines.length ? `${axis}: no value in this slice` : axis },
  };
}

/** Numbers of questions behind the points of curves of a slice, in words. */
function questionsOf(curves) {
  const counts = curves.flatMap(({ points }) => points.map((point) => point[5])).filter(known);
  return counts.length ? ", " + countsText(counts) : "";
}

/** Runs that are shown, alone or in their group: a group has no mean by slice. */
function runsOfShown(hidden) {
  const groups = report.groups.filter((group) => !hidden.has(group));
  return runs.filter((run, at) => !hidden.has(run) || groups.some((group) => group.members.includes(at)));
}

/** A point of a group also says how many of its runs have a value; one of a slice, of how many questions it is. */
function measurePoint([x, y, low, high, members, n]) {
  const interval = known(low) ? `[${number(low, 3)}, ${number(high, 3)}]` : "";
  const counts = [known(members) ? count(members, "run") : "", known(n) ? countsText([n]) : ""];
  return { x, y, low, high, note: [interval, ...counts].filter(Boolean).join(", ") };
}

/** A point of a baseline: bands of all lines would hide each other. */
const withoutBand = (point) => ({ ...measurePoint(point), low: null, high: null });

/** Baselines of the series shown; series with equal values (the same questions) share one line. */
function levels(measure, hidden, single, levelNames, all) {
  const found = new Map();
  const add = (method, one, y) => {
    const name = levelNames(method, one);
    if (known(y)) found.set(`${name} ${y}`, { name, y, ...levelLook(method) });
  };
  for (const method of Object.keys(LEVEL_DASHES).filter((one) => !hidden.has(one))) {
    for (const one of all.filter((other) => !hidden.has(other))) add(method, one, one.levels[measure]?.[method]);
  }
  single.forEach((one) => add(...one));
  return [...found.values()];
}

/** A checkbox with its line; `change` is told whether it is checked. */
function toggle(look, text, checked, change) {
  const box = make("input", { type: "checkbox", checked, class: "screen", change: ({ target }) => change(target.checked) });
  return make("label", { class: "key" }, box, look ? lineKey(look) : null, text);
}

const toggleGroup = (name, entries) => make("fieldset", {}, make("legend", {}, name), ...entries);

/** Legends with checkboxes that show and hide lines. */
function toggles(what, keys, lines, hidden, show, levelNames) {
  const entry = (key, look, text) => toggle(look, text, !hidden.has(key), (checked) => {
    if (checked) hidden.delete(key); else hidden.add(key);
    show();
  });
  const seriesEntry = (one, text) => entry(one, { ...seriesLook(one), colour: "var(--ink)" }, text);
  const drawn = (run, method) => keys.some((key) => run.measures[key]?.[method]);
  const compared = (run, method) => keys.some((key) => known(run.levels[key]?.[method])) || drawn(run, method);
  const methods = Object.keys(lines).filter((method) => runs.some((run) => drawn(run, method)))
    .map((method) => entry(method, { colour: lines[method].colour }, lines[method].name));
  const baselines = Object.keys(LEVEL_DASHES).map((method) => {
    const titles = runs.filter((run) => compared(run, method)).map((run) => levelNames(method, run));
    return titles.length ? entry(method, levelLook(method), [...new Set(titles)].join("; ")) : null;
  });
  const groups = report.groups.map((group) => seriesEntry(group, `${group.name} (mean of ${group.members.length} runs)`));
  const single = several ? runs.map((run) => seriesEntry(run, run.name)) : [];
  return Object.entries({ [what]: methods, Baselines: baselines.filter(Boolean), Groups: groups, Runs: single })
    .filter(([, entries]) => entries.length).map(([name, entries]) => toggleGroup(name, entries));
}

const groupNotes = () => report.groups.map((group) => (
  `Group ${group.name}: mean of ${group.members.map((at) => runs[at].name).join(", ")}; band: ${group.band}.`));
const bandNote = () => `Bands${report.groups.length ? " of single runs" : ""}: 95% confidence intervals.`;
