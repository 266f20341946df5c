// Values of slices of the questions, and a menu that draws the charts over epochs for one slice.

const FEW = report.slices.few;
const fewMark = (n) => (n < report.slices.fewest ? FEW : "");
const fewNote = `${FEW}: fewer than ${report.slices.fewest} questions, too few to rely on.`;

/** The smallest and the largest count, with the mark of few questions: "n = 12–44†". */
function countsText(counts) {
  const ends = [...new Set([Math.min(...counts), Math.max(...counts)])];
  return `n = ${ends.join("–")}${fewMark(ends[0])}`;
}

const slicesRead = new Map();

/** Slices of a run by epoch; read once, when they are first needed. */
function slicesOf(at) {
  if (!slicesRead.has(at)) slicesRead.set(at, readJson("slices-" + at));
  return slicesRead.get(at);
}

/**
 * Curves of a run for a slice, by method, in the form of the run's measures; a sixth number is the count of questions.
 * @param {{way: string, value: string}} slice
 */
function curvesOfSlice(run, key, { way, value }) {
  const found = {};
  for (const epoch of epochsOf(slicesOf(runs.indexOf(run)))) {
    const one = slicesOf(runs.indexOf(run))[epoch][way];
    const at = one ? one.slices.findIndex(([name]) => name === value) : -1;
    for (const [method, cells] of Object.entries(one?.values["image/" + key] ?? {})) {
      if (!cells[at] || !(method in names.imageMethods || method in names.baselines)) continue;
      const [y, low, high, n] = cells[at];
      (found[method] ??= []).push([epoch, y, low, high, null, n]);
    }
  }
  return found;
}

/**
 * A menu of all slices in which one of the measures has a value.
 * @returns {function(): ?{way: string, value: string, name: string}} the chosen slice; null: all questions
 */
function sliceFilter(id, keys, changed) {
  const found = new Map();
  for (const one of runs.flatMap((_, at) => Object.values(slicesOf(at)))) {
    for (const [way, { slices, values }] of Object.entries(one)) {
      if (!keys.some((key) => values["image/" + key])) continue;
      for (const [value] of slices) {
        const name = `${report.slices.ways[way]}: ${value}`;
        found.set(name, { way, value, name });
      }
    }
  }
  const ways = Object.keys(report.slices.ways);
  const all = [...found.values()].sort((a, b) => ways.indexOf(a.way) - ways.indexOf(b.way));
  if (!all.length) return () => null;
  const options = [["", "All"], ...all.map(({ name }) => [name, name])];
  const { element, select } = menu(id + "-slice", "Questions", options, changed);
  document.querySelector(`#${id} .shown`).before(make("div", { class: "controls screen" }, element));
  return () => found.get(select.value) ?? null;
}

/** Note of the mark, for a section with such a menu. */
const filterNote = (id) => (document.getElementById(id + "-slice") ? `Baselines of a slice: the centre prior, and chance for places. ${fewNote}` : "");
