// Importance maps: stored as one byte a cell, decoded when first shown, drawn smoothly over their image.

/**
 * @typedef {{size: number, signed: boolean, peak: number, values: Float32Array, boxes?: number[][]}} HeatMap
 *   `values`: -1..1, shares of the largest magnitude `peak`; NaN if undefined. `boxes`: if the map is made from
 *   boxes, the strongest of them, strongest first: x1, y1, x2, y2 (0..1) and the value of each
 */

const LONGEST_SIDE = 336;
const decode = (base64) => Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));
const SCALES = Object.fromEntries(Object.entries(report.scales).map(([name, { rgb, blackInk }]) => [name, { rgb: decode(rgb), blackInk }]));

/** @returns {HeatMap|null} a map as stored by examples.pack; null if an epoch has none */
function unpack(stored) {
  if (!stored) return null;
  const [signed, peak, cells, boxes] = stored;
  const bytes = decode(cells);
  const [whole, none, steps] = signed ? [new Int8Array(bytes.buffer), -128, 127] : [bytes, 255, 254];
  const values = Float32Array.from(whole, (cell) => (cell === none ? NaN : cell / steps));
  return { size: Math.sqrt(values.length), signed, peak, values, boxes };
}

const decoded = new Map();

/** The maps of a question by "annotators" and by epoch, there first of the image methods, then of the others. */
function mapsOf(run, question) {
  const key = `maps-${run}-${question}`;
  if (!decoded.has(key)) {
    const { annotators, ...epochs } = readJson(key);
    const found = Object.entries(epochs).map(([epoch, maps]) => [epoch, maps.map(unpack)]);
    decoded.set(key, { annotators: unpack(annotators), ...Object.fromEntries(found) });
  }
  return decoded.get(key);
}

const pictures = new Map();

/** The image of a question: "pending" until it is decoded; null if there is none. */
function pictureOf(question, arrived) {
  const { picture } = report.questions[question];
  if (!known(picture)) return null;
  if (!pictures.has(picture)) {
    const image = new Image();
    pictures.set(picture, image);
    image.src = "data:image/jpeg;base64," + document.getElementById("picture-" + picture).textContent;
  }
  const image = pictures.get(picture);
  if (image.complete && image.naturalWidth) return image;
  image.addEventListener("load", arrived, { once: true });
  return "pending";
}

/** Bicubic enlargement (a = -1/2, as in figures/strips.py): for each pixel its cells and their weights. */
function bicubic(cells, pixels) {
  const weight = (x) => {
    const d = Math.abs(x);
    if (d < 1) return 1.5 * d ** 3 - 2.5 * d ** 2 + 1;
    return d < 2 ? -0.5 * d ** 3 + 2.5 * d ** 2 - 4 * d + 2 : 0;
  };
  return Array.from({ length: pixels }, (_, pixel) => {
    const centre = ((pixel + 0.5) * cells) / pixels - 0.5;
    const taps = [-1, 0, 1, 2].map((step) => Math.floor(centre) + step).filter((cell) => cell >= 0 && cell < cells);
    const weights = taps.map((cell) => weight(cell - centre));
    const sum = weights.reduce((a, b) => a + b, 0);
    return taps.map((cell, i) => [cell, weights[i] / sum]);
  });
}

/** A map enlarged to an image, values -1..1; undefined cells count as zero. */
function enlarge(map, width, height) {
  const { size } = map;
  const [across, down] = [bicubic(size, width), bicubic(size, height)];
  const rows = new Float32Array(size * width);
  for (let row = 0; row < size; row++) {
    for (let x = 0; x < width; x++) {
      let sum = 0;
      // `NaN || 0`: an undefined cell counts as zero.
      for (const [cell, weight] of across[x]) sum += weight * (map.values[row * size + cell] || 0);
      rows[row * width + x] = sum;
    }
  }
  const found = new Float32Array(width * height);
  for (let y = 0; y < height; y++) {
    for (const [row, weight] of down[y]) {
      for (let x = 0; x < width; x++) found[y * width + x] += weight * rows[row * width + x];
    }
  }
  return found;
}

/**
 * Draw a pale image (null: a neutral background) with a map over it (null: none). The larger a value of the
 * map, the stronger its colour; the largest value is drawn with `opacity`, 0..1. Boxes are outlined instead.
 */
function paint(canvas, image, map, opacity) {
  const ratio = image ? image.naturalHeight / image.naturalWidth : 1;
  canvas.width = Math.round(ratio <= 1 ? LONGEST_SIDE : LONGEST_SIDE / ratio);
  canvas.height = Math.round(ratio <= 1 ? LONGEST_SIDE * ratio : LONGEST_SIDE);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.fillStyle = "#9a9fa4";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  if (image) pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  if (!map) return;
  const pixels = pen.getImageData(0, 0, canvas.width, canvas.height);
  const flat = { ...map, values: map.values.map(() => 0) };
  const shown = map.boxes ? flat : map.signed ? map : aboveLeast(map);
  blend(pixels.data, enlarge(shown, canvas.width, canvas.height), map.signed, opacity);
  pen.putImageData(pixels, 0, 0);
  if (map.boxes) outline(pen, map.boxes, map.signed, opacity);
}

/** Outline boxes as lookwhy.reporting.figures.boxes does: the stronger, the wider and darker; a label on the strongest. */
function outline(pen, boxes, signed, opacity) {
  const { width, height } = pen.canvas;
  pen.globalAlpha = Math.min(opacity / 0.74, 1);
  boxes.toReversed().forEach(([x1, y1, x2, y2, value], at) => {
    const share = value / Math.abs(boxes[0][4]);
    const { background, color } = colourOf(share, signed);
    const line = 1.6 + 3.8 * Math.abs(share);
    const inside = (side, length) => Math.min(Math.max(side * length, 4), length - 4);
    const [left, top, right, bottom] = [inside(x1, width), inside(y1, height), inside(x2, width), inside(y2, height)];
    for (const [strokeStyle, lineWidth] of [["#1d2329", line + 2], [background, line]]) {
      Object.assign(pen, { strokeStyle, lineWidth });
      pen.strokeRect(left, top, right - left, bottom - top);
    }
    if (at < boxes.length - 1) return;
    Object.assign(pen, { font: "bold 16px sans-serif", textBaseline: "middle", fillStyle: background });
    const text = boxValue(value, signed);
    const [long, high] = [pen.measureText(text).width + 10, 22];
    const x = left + right < width ? Math.min(left, width - long) : Math.max(right - long, 0);
    const y = top > high ? top - high : bottom < height - high ? bottom : top;
    pen.fillRect(x, y, long, high);
    pen.fillStyle = color;
    pen.fillText(text, x + 5, y + high / 2);
  });
  pen.globalAlpha = 1;
}

/** The value of a box with two digits, of a signed map with its sign. */
function boxValue(value, signed) {
  const size = Math.abs(value);
  const text = size < 0.001 ? size.toExponential(1).replace("-", "−") : String(Number(size.toPrecision(2)));
  return value < 0 ? `−${text}` : signed ? `+${text}` : text;
}

/** A map of magnitudes from its least value on: in RISE's, no cell is near 0. */
function aboveLeast(map) {
  const known = [...map.values].filter((value) => !Number.isNaN(value));
  const [least, most] = [Math.min(...known), Math.max(...known)];
  return { ...map, values: map.values.map((value) => (most > least ? (value - least) / (most - least) : 0 * value)) };
}

/** The same blending as lookwhy.reporting.figures.strips.blend, which has an opacity of 0.74. */
function blend(data, values, signed, opacity) {
  const ink = inks(signed, opacity);
  const pale = Math.min(opacity / 0.74, 1);
  const [own, gray, white] = [1 - pale + pale * 0.55 * 0.25, pale * 0.55 * 0.75, pale * 0.45 * 255];
  for (let i = 0, at = 0; i < values.length; i++, at += 4) {
    const value = Math.min(Math.max(values[i], -1), 1);
    const step = 4 * Math.round((value + 1) * 512);
    const left = ink[step];
    const level = gray * (0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2]) + white;
    data[at] = left * (own * data[at] + level) + ink[step + 1];
    data[at + 1] = left * (own * data[at + 1] + level) + ink[step + 2];
    data[at + 2] = left * (own * data[at + 2] + level) + ink[step + 3];
  }
}

/** For 1025 values from -1 to 1: the visible share of the image, and the red, green and blue over it. */
function inks(signed, opacity) {
  const { rgb } = SCALES[signed ? "signed" : "magnitude"];
  const found = new Float32Array(4 * 1025);
  for (let step = 0; step <= 1024; step++) {
    const value = step / 512 - 1;
    const alpha = opacity * Math.abs(value) ** 0.8;
    const colour = 3 * stepOf(value, signed);
    found.set([1 - alpha, alpha * rgb[colour], alpha * rgb[colour + 1], alpha * rgb[colour + 2]], 4 * step);
  }
  return found;
}

const stepOf = (value, signed) => Math.round((signed ? (value + 1) / 2 : Math.abs(value)) * 255);

/** Style of a step of a scale: its colour, and the ink that reads well on it. */
function colourOfStep(step, signed) {
  const { rgb, blackInk } = SCALES[signed ? "signed" : "magnitude"];
  const background = `rgb(${rgb.slice(3 * step, 3 * step + 3).join(" ")})`;
  return { background, color: blackInk[step] === "1" ? "#000000" : "#ffffff" };
}

/** Style of a value within -1..1, for words. */
const colourOf = (value, signed) => colourOfStep(stepOf(value, signed), signed);

/** The legend of the colours; a scale of magnitudes begins with `least`. */
function scaleKey(signed, least = "nothing") {
  const stops = [0, 32, 64, 96, 128, 160, 192, 224, 255].map((step) => colourOfStep(step, signed).background);
  const [low, high] = signed ? ["against", "for the answer"] : [least, "most"];
  return make("div", { class: "scale" }, low, make("i", { style: { background: `linear-gradient(90deg, ${stops.join(", ")})` } }), high);
}

/** A sentence with the largest value of a map and the number of its undefined cells. */
function mapNote(map) {
  if (!map) return "no map at this epoch";
  if (map.boxes) return map.boxes.length ? `strongest box ${boxValue(map.boxes[0][4], map.signed)}` : "zero everywhere";
  const undefinedCells = map.values.filter(Number.isNaN).length;
  if (undefinedCells === map.values.length) return "undefined everywhere";
  const some = undefinedCells ? `; ${undefinedCells} of ${map.values.length} undefined` : "";
  const peak = map.peak < 0.001 ? map.peak.toExponential(1).replace("-", "−") : map.peak.toPrecision(2);
  return map.peak ? `largest value ${peak}${some}` : `zero everywhere${some}`;
}

/** The sign of the sanity card for a method: how much its maps notice the trained head. */
function lightSign(light) {
  if (!light) return "";
  return make("span", { class: "light", role: "img", title: light.words, "aria-label": light.words, style: { color: light.colour } }, `${light.sign} `);
}

/**
 * A line of words: a method's name and scale, and each word with its value; the most important is framed.
 * @param {HeatMap|null} map null: the words have no values
 * @param {(word: string, style: object|null, at: number) => Element} element makes a word in its colours
 */
function wordLine(name, map, words, element, light = "") {
  const sizes = [...(map?.values ?? [])].map((value) => (Number.isNaN(value) ? -1 : Math.abs(value)));
  const top = map?.peak ? sizes.indexOf(Math.max(...sizes)) : -1;
  const items = words.map((word, at) => {
    const value = map?.values[at] ?? NaN;
    const style = Number.isNaN(value) ? null : colourOf(value, map.signed);
    const most = at === top ? make("span", { class: "hidden-text" }, " most important") : null;
    const text = style ? number(100 * value, 0) + "%" : "undefined";
    return make("li", { class: most ? "top" : map && !style ? "undefined" : null }, element(word, style, at),
      map ? make("small", {}, text, most) : null);
  });
  const notes = map ? [scaleKey(map.signed), make("small", {}, mapNote(map))] : [];
  return make("div", { class: "spoken" }, make("div", { class: "method" }, light, name, ...notes),
    make("ul", { class: "words", "aria-label": name }, ...items));
}
