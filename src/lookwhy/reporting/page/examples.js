// The example browser: choice of a question, an epoch and methods; filters and sort order of the questions.

const ALL = "all";

function examplesSection() {
  const place = document.querySelector("#examples .browser");
  if (report.questions.length) new Browser(place).changeRun();
  else place.append(make("p", {}, "No question with maps to show."));
}

/** The controls, and the view of the question that they choose. */
class Browser {
  constructor(place) {
    const filter = (id, name, options, all = "any") => menu("filter-" + id, name, [["", all], ...options], () => this.refilter());
    const types = (key) => [...new Set(report.questions.map((one) => one[key]))].filter(Boolean).sort().map((type) => [type, type]);
    this.filters = {
      correct: filter("correct", "Answer", [["right", "right"], ["wrong", "wrong"]], "right or wrong"),
      type: filter("type", "Question type", types("type")),
      answerType: filter("answer-type", "Answer type", types("answerType")),
      change: filter("change", "First to last epoch", [["answer", "another answer"], ["gained", "became right"], ["lost", "became wrong"]]),
      order: menu("order", "Order", this.orders(), () => this.reorder()),
    };
    this.found = make("output", { "aria-live": "polite" });
    const reset = make("button", { type: "button", id: "reset", click: () => this.reset() }, "Reset");
    const filters = make("div", { class: "filters screen", role: "group", "aria-label": "Filters" },
      ...Object.values(this.filters).map((one) => one.element), reset, this.found);

    const all = several ? [[ALL, "all runs"]] : [];
    const single = runs.map((run, at) => [String(at), run.name]);
    this.run = menu("examples-run", "Run", [...all, ...single], () => this.changeRun());
    this.question = make("select", { id: "question", "aria-label": `Question, one of up to ${report.questions.length}`, change: () => this.show() });
    this.before = make("button", { type: "button", id: "previous", "aria-label": "Previous question", click: () => this.step(-1) }, "←");
    this.after = make("button", { type: "button", id: "next", "aria-label": "Next question", click: () => this.step(1) }, "→");
    this.slider = epochSlider("examples-epoch", () => this.refilter(this.question.value));
    this.method = menu("method", "Method", [], () => this.show());
    this.opacity = make("input", { type: "range", id: "opacity", min: 0, max: 100, value: 74, "aria-label": "Opacity of the heat map", input: () => this.show() });
    this.strength = make("output", { for: "opacity" });
    const controls = make("div", { class: "controls screen" },
      make("div", { class: "ask" }, this.before, this.question, this.after),
      several ? this.run.element : null, this.slider.element, this.method.element,
      make("label", { class: "slider" }, make("span", {}, "Opacity"), this.opacity, this.strength));
    this.view = make("div", { class: "view" });
    place.append(filters, controls, this.view, ...this.notes());
  }

  orders() {
    const ranked = report.examples.some((one) => one.answers.some((epochs) => epochs.some((answer) => answer?.rho.some(known))));
    return [["", "as analysed"], ...(ranked ? [["rho", "biggest change of ρ"]] : []), ["confidence", "biggest change of confidence"], ["accuracy", "biggest change of accuracy"]];
  }

  notes() {
    const leftOut = report.examples.map((one, at) => [one.leftOut, runs[at].name]).filter(([many]) => many);
    const text = leftOut.map(([many, name]) => `${count(many, "epoch")} of ${name}`).join(", ");
    return text ? [noteLine(`Left out here to keep the page small: ${text}.`)] : [];
  }

  /** Indices of the runs shown. */
  runs() {
    return this.run.select.value === ALL ? runs.map((_, at) => at) : [Number(this.run.select.value)];
  }

  /** Offer the epochs of the runs that have the question. */
  offerEpochs(question) {
    this.slider.offer(this.runs().filter((run) => asked(run, question)).map((run) => report.examples[run].epochs));
  }

  changeRun() {
    const shown = this.runs().map((at) => report.examples[at]);
    const methods = [...new Set(shown.flatMap((one) => one.imageMethods))];
    const who = shown.some((one) => one.annotators.some(Boolean)) ? [["annotators", "Annotators"]] : [];
    const options = methods.map((method) => [method, names.imageMethods[method].name]);
    fill(this.method.select, [["", "all, side by side"], ...options, ...who]);
    this.offerEpochs(report.questions.findIndex((_, question) => this.runs().some((run) => asked(run, question))));
    this.refilter();
  }

  reset() {
    for (const { select } of Object.values(this.filters)) select.value = "";
    this.refilter();
  }

  /** Apply another order and show its first question. */
  reorder() {
    this.refilter();
    this.step(-this.question.selectedIndex);
  }

  step(by) {
    this.question.selectedIndex += by;
    this.show();
  }

  /** Answers to a question in a run: at the first, the shown and the last epoch. */
  answers(run, question) {
    const { epochs, answers } = report.examples[run];
    const there = answers[question].filter(Boolean);
    return { first: there[0], last: there.at(-1), shown: answers[question][epochs.indexOf(this.slider.epoch())] };
  }

  /** Whether the question passes the filters in any of the runs shown. */
  wanted(question) {
    const { correct, type, answerType, change } = Object.fromEntries(Object.entries(this.filters).map(([name, one]) => [name, one.select.value]));
    const { type: its, answerType: itsAnswer } = report.questions[question];
    if ((type && type !== its) || (answerType && answerType !== itsAnswer)) return false;
    return this.runs().some((run) => {
      const { first, last, shown } = this.answers(run, question);
      if (!first) return false;
      if (correct && isRight(run, shown) !== (correct === "right")) return false;
      if (change === "answer") return first.said !== last.said;
      if (change === "gained") return isRight(run, first) === false && isRight(run, last) === true;
      if (change === "lost") return isRight(run, first) === true && isRight(run, last) === false;
      return true;
    });
  }

  /** Largest change of a question's value from the first to the last epoch, over the runs shown. */
  change(question, key) {
    const apart = (a, b) => (known(a) && known(b) ? Math.abs(b - a) : -1);
    return Math.max(...this.runs().map((run) => {
      const { first, last } = this.answers(run, question);
      if (!first) return -1;
      return key === "rho" ? Math.max(-1, ...first.rho.map((rho, i) => apart(rho, last.rho[i]))) : apart(first[key], last[key]);
    }));
  }

  /** @param {string} kept question that stays listed even if its answer at another epoch fails the filters */
  refilter(kept = "") {
    const order = this.filters.order.select.value;
    const passing = report.questions.map((_, at) => at).filter((at) => this.wanted(at));
    const found = report.questions.map((_, at) => at).filter((at) => String(at) === kept || passing.includes(at));
    if (order) found.sort((a, b) => this.change(b, order) - this.change(a, order) || a - b);
    this.listed = found;
    this.relabel();
    this.found.textContent = `${passing.length} of ${count(report.questions.length, "question")}`;
    this.question.disabled = !found.length;
    this.show();
  }

  relabel() {
    const order = this.filters.order.select.value;
    fill(this.question, this.listed.map((at) => {
      const marks = this.runs().map((run) => ({ true: "✓", false: "✗" })[isRight(run, this.answers(run, at).shown)] ?? "·").join("");
      const change = order ? this.change(at, order) : -1;
      return [String(at), `${marks} ${report.questions[at].question}${change >= 0 ? ` (±${change.toFixed(2)})` : ""}`];
    }));
  }

  show() {
    this.strength.textContent = this.opacity.value + "%";
    this.opacity.setAttribute("aria-valuetext", this.opacity.value + "%");
    this.before.disabled = this.question.selectedIndex < 1;
    this.after.disabled = this.question.selectedIndex >= this.question.options.length - 1;
    if (!this.question.value) {
      this.view.replaceChildren(make("p", {}, "No question passes the filters."));
      return;
    }
    const question = Number(this.question.value);
    const before = this.slider.epoch();
    this.offerEpochs(question);
    if (this.slider.epoch() !== before) this.relabel();
    const image = pictureOf(question, () => this.show());
    const view = { question, image, epoch: this.slider.epoch(), method: this.method.select.value, opacity: this.opacity.value / 100 };
    const { question: text, type, answerType, id, why } = report.questions[question];
    const about = [`Question ${id}`, type && `type “${type}”`, answerType && `answer type “${answerType}”`, why].filter(Boolean).join(", ");
    this.view.replaceChildren(make("p", { class: "asked" }, text), make("p", { class: "note", style: { "margin-top": 0 } }, about + "."),
      ...this.runs().filter((run) => asked(run, question)).map((run) => runView(run, view)), notAsked(this.runs(), question));
  }
}

examplesSection();
