// Parts that all sections share: data, elements, numbers as text, a run menu with an epoch slider, the theme.

const readJson = (id) => JSON.parse(document.getElementById(id).textContent);
const report = readJson("report");
const { runs, names } = report;
const several = runs.length > 1;

/**
 * An HTML element. Text is set as text only, so nothing in the data can become markup.
 * @param {Object<string, any>} attributes `style` may be an object; a function is a listener
 */
function make(tag, attributes = {}, ...children) {
  return dress(document.createElement(tag), attributes, children);
}

/** An SVG element, with the parameters of `make`. */
function draw(tag, attributes = {}, ...children) {
  return dress(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function dress(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name === "style") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/**
 * A table. Each cell names its column, because a narrow screen hides the head; the roles keep the meaning of a
 * table for screen readers when CSS changes its layout.
 * @param {string[][]} rows texts; the first of each row is its head
 */
function table(attributes, heads, rows) {
  const head = heads.map((text) => make("th", { scope: "col", role: "columnheader" }, text));
  const row = ([name, ...cells]) => make("tr", { role: "row" }, make("th", { scope: "row", role: "rowheader" }, name),
    ...cells.map((text, at) => make("td", { role: "cell", "data-head": heads[at + 1] }, make("span", {}, text))));
  return make("table", { role: "table", ...attributes }, make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...head)),
    make("tbody", { role: "rowgroup" }, ...rows.map(row)));
}

const noteLine = (text) => make("p", { class: "note" }, text);
const known = (value) => value !== null && value !== undefined;

/** A number with a true minus sign; no minus zero. */
function number(value, digits = 2) {
  if (!known(value)) return "undefined";
  const text = value.toFixed(digits);
  return /[1-9]/.test(text) ? text.replace("-", "−") : text.replace("-", "");
}

const percent = (value, digits = 0) => (known(value) ? number(100 * value, digits) + "%" : "undefined");
const epochName = (epoch) => (epoch < 0 ? "untrained" : "epoch " + epoch);
const epochsOf = (results) => Object.keys(results).map(Number).sort((a, b) => a - b);
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const count = (many, what) => many + " " + what + (many === 1 ? "" : "s");

/** A slider over epochs, which keeps its epoch when other epochs are offered. */
function epochSlider(id, changed) {
  const input = make("input", { type: "range", id, min: 0, step: 1, "aria-label": "Epoch" });
  const shown = make("output", { for: id });
  let epochs = [];
  const tell = () => {
    shown.textContent = epochs.length ? epochName(epochs[input.value]) : "no epoch";
    input.setAttribute("aria-valuetext", shown.textContent);
  };
  input.addEventListener("input", () => { tell(); changed(); });
  return {
    element: make("label", { class: "slider" }, shown, input),
    epoch: () => epochs[input.value],
    /** Offer the epochs of each run. If the epoch shown is not among them, go to the last one that most runs have. */
    offer(each) {
      const kept = epochs[input.value];
      const found = [...new Set(each.flat())].sort((a, b) => a - b);
      const held = (epoch) => each.filter((one) => one.includes(epoch)).length;
      const most = Math.max(...found.map(held));
      epochs = found;
      input.max = Math.max(found.length - 1, 0);
      input.disabled = found.length < 2;
      input.value = found.includes(kept) ? found.indexOf(kept) : found.findLastIndex((epoch) => held(epoch) === most);
      tell();
    },
  };
}

/** A menu with its label; each of `options` is a value and its text. */
function menu(id, name, options, changed) {
  const select = make("select", { id, change: changed });
  fill(select, options);
  return { element: make("label", {}, make("span", {}, name), select), select };
}

/** Give a menu other options; the chosen one stays chosen if it is among them. */
function fill(select, options) {
  const kept = select.value;
  select.replaceChildren(...options.map(([value, text]) => make("option", { value }, text)));
  if (options.some(([value]) => value === kept)) select.value = kept;
}

/** The controls of a section that shows one run at one epoch; `possible`: indices of the runs offered. */
function runAndEpoch(id, possible, epochsOf, show) {
  const place = document.querySelector(`#${id} .controls`);
  const chosen = () => Number(run.select.value);
  const changed = () => show(chosen(), slider.epoch());
  const slider = epochSlider(id + "-epoch", changed);
  const offered = possible.map((one) => [String(one), runs[one].name]);
  const run = menu(id + "-run", "Run", offered, () => { slider.offer([epochsOf(chosen())]); changed(); });
  if (possible.length > 1) place.append(run.element);
  place.append(slider.element);
  slider.offer([epochsOf(chosen())]);
  changed();
}

/** The theme button: automatic, light or dark; the choice is remembered if the browser allows it. */
function themeButton() {
  const button = document.getElementById("theme");
  const themes = ["automatic", "light", "dark"];
  // Browsers may refuse storage to a page that was opened from disk.
  const stored = (act) => { try { return act(localStorage); } catch { return null; } };
  let at = Math.max(themes.indexOf(stored((storage) => storage.getItem("lookwhy-theme"))), 0);
  const apply = () => {
    if (at) document.documentElement.dataset.theme = themes[at];
    else delete document.documentElement.dataset.theme;
    button.textContent = "Theme: " + themes[at];
  };
  button.addEventListener("click", () => {
    at = (at + 1) % themes.length;
    stored((storage) => storage.setItem("lookwhy-theme", themes[at]));
    apply();
  });
  apply();
}
