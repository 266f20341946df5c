// Selective prediction: the risk of answering only the questions that a score ranks first.

function selectiveSection() {
  const possible = runsWith("selective");
  if (!possible.length) return nothing("selective", runsWith("failure").length
    ? "Undefined: analyses of an earlier version. Analyse the checkpoints again to have it." : whyNoFailure());
  const place = document.querySelector("#selective .drawn");
  const bands = {};
  const titles = ["Ranking", "Worth of answering, and calibration"];
  let chart = null;
  runAndEpoch("selective", possible, (run) => epochsOf(runs[run].selective), (run, epoch) => {
    bands[run] ??= readJson("bands-" + run);
    const found = runs[run].selective[epoch];
    const next = riskChart(bands[run][epoch] ?? {}, epoch);
    // The chart is reused for another epoch, so that an open table of numbers stays open.
    if (chart) chart.show(next);
    else chart = lineChart(next);
    const keys = next.lines.map((line) => [lineKey(line), line.name]);
    place.replaceChildren(...(found.increment ? [make("p", {}, make("strong", {}, found.increment))] : []),
      ...(next.lines.length ? [legend(keys), make("div", { class: "charts" }, chart)] : []),
      ...names.selectiveTables.map((columns, at) => measuresTable(titles[at], "Ranked by", columns, found.scores, names.scores)),
      noteLine(`${shownAs(run, epoch)}. ${found.note} ${names.worth} In square brackets: 95% intervals over whole images.`));
  });
}

/** @returns {Chart} */
function riskChart(stored, epoch) {
  const title = "Risk by coverage: lower is better";
  const lines = names.drawnScores.filter((name) => stored[name]).map((name, at) => {
    const { x, y, low, high } = stored[name];
    const points = x.map((one, i) => ({ x: one, y: y[i], low: low?.[i], high: high?.[i],
      note: known(low?.[i]) ? `[${number(low[i], 3)}, ${number(high[i], 3)}]` : "" }));
    return { name: names.scores[name] ?? name, ...lookAt(at), marker: null, points };
  });
  const highest = Math.max(...lines.flatMap((line) => line.points.flatMap((p) => [p.y, p.high])).filter(known), 0.05);
  return {
    title, label: `${title}, ${epochName(epoch)}: ${lines.length} lines with 95% intervals; their numbers are in the table below it`,
    lines, noteTitle: "95% interval",
    x: { title: "Share of questions answered, the first by each score", low: 0, high: 1, share: true },
    y: { title: "Mean of 1 − VQA accuracy among them", low: 0, high: Math.min(1, Math.ceil(highest * 20) / 20), share: true },
  };
}

selectiveSection();
