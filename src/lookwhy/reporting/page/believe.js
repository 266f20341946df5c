// Which map to believe: faithfulness and localisation over epochs; and the share of the question in the answers.

/** Show a section and make its link; older runs have nothing for it. */
function reveal(id, text) {
  document.getElementById(id).hidden = false;
  document.querySelector('nav a[href="#examples"]').before(make("a", { href: "#" + id }, text), " ");
}

/** Sentences about the measures that are drawn, by the start of their keys. */
const BELIEVE_NOTES = [
  ["faithfulness/correlation", "Faithfulness correlation: over masks, of the importance that a mask hides and the fall of the answer’s probability."],
  ["faithfulness/deletion", "Deletion: cells, most important first, give way to the gray patch or the blurred image."],
  ["faithfulness/insertion", "Insertion: cells come back from there in the same order."],
  ["faithfulness/infidelity", "Infidelity, scaled: mean squared error of the map, at its best scale, in telling that fall for squares."],
  ["faithfulness/max_sensitivity", "Max-sensitivity: largest relative change of the map under small noise."],
  ["localisation/", "Mass, rank, pointing: share of the importance, of the top cells, and of the questions whose top cell lies inside the mask of what the question needs."],
];

function believeSection() {
  const { measures } = names;
  if (!measures.length) return;
  reveal("believe", "Which map to believe");
  const section = document.getElementById("believe");
  // The mean of the annotators’ maps is compared with the masks here, and no annotator with another.
  const levelNames = (method, one) => (method === "human" ? `Mean of ${one.annotators}` : levelName(method, one));
  const charts = measureCharts("believe", measures, names.imageMethods, { levelNames, sliced: true });
  charts.forEach((chart, at) => { chart.hidden = !measures[at].usual; });
  const chosen = measures.map(({ name, usual }, at) => (
    toggle(null, name.split(":")[0], usual, (checked) => { charts[at].hidden = !checked; })));
  section.querySelector(".shown").prepend(toggleGroup("Measures", chosen));
  section.querySelector(".note").textContent = believeNote(measures);
}

function believeNote(measures) {
  const drawn = (start) => measures.filter(({ key }) => key.startsWith(start));
  const without = runs.filter((run) => !hasAny(run, measures.map(({ key }) => key))).map((run) => run.name).join(", ");
  return [
    ...BELIEVE_NOTES.filter(([start]) => drawn(start).length).map(([, text]) => text),
    bandNote(),
    "Level lines: on the questions of each run’s last epoch.",
    ...groupNotes(),
    filterNote("believe"),
    countNote(measures, (measure) => measure.name.split(":")[0]),
    without ? `Not measured in: ${without}.` : "",
  ].filter(Boolean).join(" ");
}

/** Numbers of questions, with the measures that share one. */
function countNote(measures, nameOf) {
  const found = new Map();
  for (const measure of measures) {
    const counts = [...new Set(runs.map((run) => run.questions[measure.key]).filter(known))].sort((a, b) => a - b);
    const text = counts.join("–");
    if (text) found.set(text, [...(found.get(text) ?? []), nameOf(measure)]);
  }
  return found.size ? `Questions: ${[...found].map(([text, shown]) => `${text} (${shown.join("; ")})`).join(", ")}.` : "";
}

function modalitySection() {
  const measures = Object.entries(names.shares).map(([key, one]) => ({ key: `modality/${key}`, share: true, ...one }))
    .filter(({ key }) => runs.some((run) => run.measures[key]));
  if (!measures.length) return;
  reveal("modality", "Share of the question");
  measureCharts("modality", measures, names.fills, { what: "Filled with" });
  document.querySelector("#modality .note").textContent = [
    "T-SHAP: share of the words in the Shapley values of words and cells; the rest is the image’s. A model that "
      + "ignores the image has 100%. Lines: what takes the place of absent cells.",
    "As probable without the image: answers that the filled image does not make less probable.",
    bandNote(), ...groupNotes(), countNote(measures, (measure) => measure.name.split(":")[0]),
  ].filter(Boolean).join(" ");
}

believeSection();
modalitySection();
if (document.getElementById("sanity")) document.querySelector('nav a[href="#words"]').before(make("a", { href: "#sanity" }, "Sanity card"), " ");
