// Views of an explanation: answer bars, the image under each method's map, words as buttons.

/**
 * @typedef {{text: string, probability: number|null, id: number}} Answer
 * @typedef {{answers: Answer[], probabilities: (number|null)[]}} Change
 *   `answers`: the best ones after the change; `probabilities`: the new ones of the earlier answers
 */

/** A map of the server, scaled to a peak of 1 as `heat.js` draws it; null is undefined. */
function heatMap(signed, numbers) {
  const peak = Math.max(0, ...numbers.map((value) => Math.abs(value ?? 0)));
  const values = Float32Array.from(numbers, (value) => (known(value) ? value / (peak || 1) : NaN));
  return { size: report.grid, signed, peak, values };
}

/** Draws Answers as bars: the bar is the probability after the Change, if there is one; the mark is the earlier one. */
function answerBars(place, before, change) {
  const [first] = change?.answers ?? before;
  const rows = before.map((answer, at) => ({ ...answer, now: change ? change.probabilities[at] : answer.probability }));
  const isNew = !before.some(({ id }) => id === first.id);
  if (isNew) rows.push({ ...first, probability: null, now: first.probability });
  const share = (value) => Math.min(Math.max(100 * value, 0), 100) + "%";
  place.replaceChildren(...rows.map(({ text, id, probability, now }) => {
    const label = change ? `${known(probability) ? percent(probability, 1) : "below"} → ${percent(now, 1)}` : percent(now, 1);
    const mark = change && known(probability) ? make("span", { class: "mark", style: { left: share(probability) } }) : null;
    const best = id === first.id;
    return make("li", { class: best && "first" }, make("span", { class: best ? "name strong" : "name" }, text),
      make("span", { class: "track" }, make("span", { class: "bar", style: { width: share(now) } }), mark, make("span", { class: "value" }, label)));
  }));
}

/** Writes the answer, or its change, as a sentence. */
function answerSentence(place, { answers }, change, cells, words) {
  const [first] = answers;
  if (!change) {
    place.replaceChildren("Answered ", make("b", {}, `“${first.text}” (${percent(first.probability, 1)})`));
    return;
  }
  const [before, now] = [first.probability, change.probabilities[0]];
  const gone = [cells.length ? `${count(cells.length, "region")} painted over` : "", words.length ? `without ${words.map((word) => `“${word}”`).join(", ")}` : ""];
  const [best] = change.answers;
  const flipped = best.id === first.id ? "." : make("span", {}, "; now it answers ", make("b", {}, `“${best.text}” (${percent(best.probability, 1)})`), ".");
  const points = number(100 * (now - before), 1);
  place.replaceChildren(make("b", {}, `“${first.text}” ${percent(before, 1)} → ${percent(now, 1)}`),
    ` (${now > before ? "+" : ""}${points} points), ${gone.filter(Boolean).join(", ")}`, flipped);
}

/** The image under each method's map. All pictures react to clicks, and the first one to the keyboard, too. */
class Panels {
  constructor(place, { toggle, pointed }) {
    Object.assign(this, { place, toggle, pointed, cell: 0, shown: [] });
  }

  show(image, maps) {
    this.image = image;
    const alone = { name: "Image", map: null, note: "" };
    this.shown = [alone, ...maps.map(({ method, signed, flips, values }) => {
      const note = known(flips) ? `cells that flip the answer: ${flips}; ` : "";
      return { name: names.imageMethods[method].name, map: heatMap(signed, values.flat()), note, light: report.lights[`image/${method}`] };
    })];
    this.place.replaceChildren(...this.shown.map((one, at) => this.figure(one, at)));
  }

  figure(one, at) {
    one.canvas = make("canvas", { "data-panel": one.name });
    one.mark = make("i", { class: "at" });
    const listeners = { click: (event) => this.clicked(event), pointermove: (event) => this.moved(event) };
    const keys = at ? { role: "img", "aria-label": one.name } : {
      tabindex: 0, role: "application", "aria-label": `Image of ${report.grid} by ${report.grid} cells`, "aria-describedby": "how",
      keydown: (event) => this.pressed(event), focus: () => this.point(this.cell),
    };
    one.stage = make("div", { class: "stage", ...listeners, ...keys }, one.canvas, one.mark);
    const note = one.map ? make("small", {}, one.note + mapNote(one.map)) : null;
    return make("figure", {}, make("figcaption", {}, lightSign(one.light), one.name), one.stage, one.map ? scaleKey(one.map.signed, "least") : null, note);
  }

  draw(opacity, painted) {
    const { grid, patch } = report;
    for (const { canvas, map } of this.shown) {
      paint(canvas, this.image, map, opacity);
      const pen = canvas.getContext("2d");
      const [across, down] = [canvas.width / grid, canvas.height / grid];
      pen.lineWidth = 2;
      for (const cell of painted) {
        const place = [(cell % grid) * across, Math.floor(cell / grid) * down, across, down];
        pen.fillStyle = `rgb(${patch.join(" ")})`;
        pen.fillRect(...place);
        for (const [colour, dashes] of [["#ffffff", []], ["#000000", [4, 4]]]) {
          pen.strokeStyle = colour;
          pen.setLineDash(dashes);
          pen.strokeRect(...place);
        }
      }
    }
  }

  /** Moves the marks of all pictures to a cell. */
  point(cell) {
    const { grid } = report;
    this.cell = cell;
    for (const { mark } of this.shown) {
      const place = { left: cell % grid, top: Math.floor(cell / grid), width: 1, height: 1 };
      for (const [side, value] of Object.entries(place)) mark.style.setProperty(side, (100 * value) / grid + "%");
    }
    this.pointed(cell);
  }

  /** Describes a cell: each method's value there. */
  describe(cell) {
    return this.shown.filter(({ map }) => map).map(({ name, map }) => {
      const value = map.values[cell];
      return `${name} ${Number.isNaN(value) ? "undefined" : number(100 * value, 0) + "%"}`;
    }).join(", ");
  }

  cellAt(event) {
    const box = event.currentTarget.getBoundingClientRect();
    const along = (at, length) => Math.min(Math.max(Math.floor((report.grid * at) / length), 0), report.grid - 1);
    return along(event.clientY - box.top, box.height) * report.grid + along(event.clientX - box.left, box.width);
  }

  clicked(event) {
    this.point(this.cellAt(event));
    this.toggle(this.cell);
  }

  moved(event) {
    const cell = this.cellAt(event);
    if (cell !== this.cell) this.point(cell);
  }

  pressed(event) {
    const { grid } = report;
    const [row, column] = [Math.floor(this.cell / grid), this.cell % grid];
    const to = (r, c) => this.point(Math.min(Math.max(r, 0), grid - 1) * grid + Math.min(Math.max(c, 0), grid - 1));
    const acts = {
      ArrowUp: () => to(row - 1, column), ArrowDown: () => to(row + 1, column),
      ArrowLeft: () => to(row, column - 1), ArrowRight: () => to(row, column + 1),
      Home: () => to(row, 0), End: () => to(row, grid - 1), PageUp: () => to(0, column), PageDown: () => to(grid - 1, column),
      Enter: () => this.toggle(this.cell), " ": () => this.toggle(this.cell),
    };
    if (!acts[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    acts[event.key]();
  }
}

/** Writes a line of words for each question method; one plain line if there is no such method. */
function wordRows(place, { words, word_importances: methods }, toggle) {
  const button = (word, style, at) => {
    const strange = !words[at].known;
    return make("button", {
      type: "button", class: strange && "unknown", "data-word": at, "aria-pressed": "false", style,
      "aria-label": `Drop “${word}”${strange ? ", which the model does not know" : ""}`,
      title: strange && "not among the words that the model knows", click: () => toggle(at),
    }, word);
  };
  const line = (name, map, light) => wordLine(name, map, words.map(({ word }) => word), button, lightSign(light));
  const lines = methods.map(({ method, signed, words: values }) => (
    line(names.wordMethods[method].name, heatMap(signed, values.map(({ importance }) => importance)), report.lights[`question/${method}`])));
  place.replaceChildren(...(lines.length ? lines : [line("The words", null)]));
}
