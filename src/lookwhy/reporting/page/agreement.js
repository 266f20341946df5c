// Agreement with the annotators over epochs.

const COMPARED = [...new Set(runs.map((run) => run.compared))].join(" or ");
const AGREEMENT = [
  { key: "rank_correlation", name: "Agreement with the annotators", axis: `Rank correlation ρ of ${COMPARED}` },
  { key: "specificity", name: "Specific to the question", axis: "ρ, own question minus another’s" },
  { key: "mean_map", name: "With the annotators’ mean map", axis: `Rank correlation ρ of ${COMPARED}` },
];

function agreementSection() {
  const section = document.getElementById("agreement");
  const note = section.querySelector(".note");
  const measures = AGREEMENT.filter(({ key }) => runs.some((run) => run.measures[key]));
  if (!measures.length) {
    const drawn = runs.some((run) => known(run.levels.rank_correlation.human));
    section.querySelector(".charts").append(make("p", {}, `No ${drawn ? "image" : "annotator"} maps, so no agreement.`));
    note.remove();
    return;
  }
  measureCharts("agreement", measures, names.imageMethods, { sliced: true });
  note.textContent = agreementNote();
}

function agreementNote() {
  const agrees = (run) => hasAny(run, AGREEMENT.map(({ key }) => key));
  const who = [...new Set(runs.filter(agrees).map((run) => run.annotators))].join(" and ");
  const without = runs.filter((run) => !agrees(run)).map((run) => run.name).join(", ");
  return [
    `Annotators: ${who}.`,
    bandNote(),
    "Level lines: baselines on the questions of each run’s last epoch.",
    ...groupNotes(),
    filterNote("agreement"),
    without ? `No agreement is defined in: ${without}.` : "",
  ].filter(Boolean).join(" ");
}

agreementSection();
