// State of the page: image, question, cells painted over, words dropped, and the answers after that.

const at = (id) => document.getElementById(id);

class LivePage {
  constructor() {
    Object.assign(this, { sent: null, asked: null, explained: null, cells: new Set(), words: new Set(), change: null, turn: 0 });
    this.panels = new Panels(at("panels"), { toggle: (cell) => this.toggle(this.cells, cell), pointed: (cell) => this.pointed(cell) });
    at("limits").textContent = `JPEG, PNG, WebP or BMP, at most ${report.maxBytes / 2 ** 20} MB. It stays on this machine.`;
    for (const id of ["row", "column"]) at(id).max = report.grid;
    this.listen();
    this.offerExamples();
    this.showOpacity();
  }

  listen() {
    at("form").addEventListener("submit", (event) => { event.preventDefault(); this.ask(); });
    at("file").addEventListener("change", () => { const [file] = at("file").files; if (file) this.choose(file); at("file").value = ""; });
    at("reset").addEventListener("click", () => this.reset());
    at("opacity").addEventListener("input", () => { this.showOpacity(); this.draw(); });
    for (const id of ["row", "column"]) at(id).addEventListener("input", () => { if (this.typedCell() !== null) this.panels.point(this.typedCell()); });
    at("paint").addEventListener("click", () => { if (this.typedCell() !== null) this.toggle(this.cells, this.typedCell()); });
    for (const kind of ["dragover", "dragleave", "drop"]) {
      document.addEventListener(kind, (event) => {
        event.preventDefault();
        at("drop").classList.toggle("over", kind === "dragover");
        const file = kind === "drop" ? event.dataTransfer.files[0] : null;
        if (file) this.choose(file);
      });
    }
    document.addEventListener("paste", (event) => { const [file] = event.clipboardData.files; if (file) this.choose(file); });
  }

  offerExamples() {
    at("examples").hidden = !report.examples.length;
    at("examples").querySelector("ul").append(...report.examples.map((question, number) => make("li", {},
      make("button", { type: "button", "data-example": number, click: () => this.example(question, number) },
        make("img", { src: `example/${number}`, alt: "", loading: "lazy" }), question))));
  }

  /**
   * Runs a task that calls the server, and shows its status and refusals. A newer task overrides older ones.
   * `act` gets a function that says whether it is the newest; `place`: id of the element for refusals.
   */
  async work(status, act, place = "error") {
    const turn = ++this.turn;
    this.clearMessages();
    at("status").textContent = status;
    at("result").setAttribute("aria-busy", "true");
    try {
      await act(() => turn === this.turn);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (turn === this.turn) at(place).textContent = sentence(error.message);
    } finally {
      if (turn === this.turn) {
        at("status").textContent = "";
        at("result").setAttribute("aria-busy", "false");
      }
    }
  }

  /** Takes another image; the last result stays until there is an answer about the new image. */
  choose(file) {
    return this.work("Looking at the image ...", async (isLast) => {
      const sent = await SentImage.send(file);
      if (!isLast()) return;
      this.sent = sent;
      at("chosen").src = sent.picture.src;
      at("chosen").alt = "The image chosen";
      at("chosen").hidden = false;
      at("drop-text").textContent = `${file.name ?? "Example"}, ${sent.width} × ${sent.height}`;
      if (at("question").value.trim()) await this.explain(isLast);
      else at("question").focus();
    });
  }

  ask() {
    return this.work("Answering and explaining ...", async (isLast) => {
      if (!this.sent) throw new Refusal("choose an image first");
      await this.explain(isLast);
    });
  }

  example(question, number) {
    return this.work("Looking at the image ...", async (isLast) => {
      let file;
      try {
        const reply = await fetch(`example/${number}`);
        if (!reply.ok) throw new Error();
        file = await reply.blob();
      } catch {
        throw new Refusal("expected the example’s image, found none; choose another");
      }
      if (!isLast()) return;
      at("question").value = question;
      this.choose(file);
    });
  }

  async explain(isLast) {
    const { sent } = this;
    if (isLast()) at("status").textContent = "Answering and explaining ...";
    const explained = await sent.ask("ask", { question: at("question").value });
    if (!isLast()) return;
    Object.assign(this, { asked: sent, explained });
    at("result").hidden = false;
    at("asked").textContent = explained.question;
    at("notes").replaceChildren(...explained.notes.map(noteLine));
    this.panels.show(sent.picture, explained.image_maps);
    wordRows(at("spoken"), explained, (word) => this.toggle(this.words, word));
    this.changed(null);
    // On a phone the answer is below the visible part of the page.
    if (at("result").getBoundingClientRect().top > 0.7 * window.innerHeight) at("result").scrollIntoView();
  }

  toggle(gone, one) {
    if (!gone.delete(one)) gone.add(one);
    this.show();
    this.askAgain();
  }

  reset() {
    this.cells.clear();
    this.words.clear();
    this.askAgain();
  }

  /** Asks again without the removed cells and words. */
  askAgain() {
    if (!this.cells.size && !this.words.size) return this.work("", async () => this.changed(null));
    const { explained } = this;
    const gone = { cells: [...this.cells], words: [...this.words], answers: explained.answers.map(({ id }) => id) };
    return this.work("Answering again ...", async (isLast) => {
      let change;
      try {
        change = await this.asked.ask("change", { question: explained.question, ...gone });
      } catch (error) {
        // Restore the state that the bars show, because the next click starts from it.
        if (isLast()) this.changed(this.change);
        throw error;
      }
      if (isLast() && this.explained === explained) this.changed({ ...change, ...gone, answers: change.answers });
    }, "trouble");
  }

  clearMessages() {
    for (const id of ["status", "error", "trouble"]) at(id).textContent = "";
  }

  /** Shows a change, or the state without any. */
  changed(change) {
    this.change = change;
    this.cells = new Set(change?.cells);
    this.words = new Set(change?.words);
    this.show();
  }

  show() {
    const { explained, change } = this;
    answerBars(at("bars"), explained.answers, change);
    answerSentence(at("said"), explained, change, change?.cells ?? [], (change?.words ?? []).map((at) => explained.words[at].word));
    at("reset").disabled = !this.cells.size && !this.words.size;
    for (const button of at("spoken").querySelectorAll("[data-word]")) button.setAttribute("aria-pressed", String(this.words.has(Number(button.dataset.word))));
    this.pointed(this.panels.cell);
    this.draw();
  }

  draw() {
    if (this.explained) this.panels.draw(at("opacity").value / 100, this.cells);
  }

  showOpacity() {
    at("strength").textContent = at("opacity").value + "%";
    at("opacity").setAttribute("aria-valuetext", at("opacity").value + "%");
  }

  /** Returns the cell at the row and column typed, or null. */
  typedCell() {
    const [row, column] = [at("row").valueAsNumber, at("column").valueAsNumber];
    const fits = (value) => Number.isInteger(value) && value >= 1 && value <= report.grid;
    return this.explained && fits(row) && fits(column) ? (row - 1) * report.grid + column - 1 : null;
  }

  pointed(cell) {
    const [row, column] = [Math.floor(cell / report.grid) + 1, (cell % report.grid) + 1];
    const isGone = this.cells.has(cell);
    if (document.activeElement !== at("row")) at("row").value = row;
    if (document.activeElement !== at("column")) at("column").value = column;
    at("paint").textContent = isGone ? "Take back" : "Paint over";
    const values = this.panels.describe(cell);
    at("cell").textContent = `Row ${row}, column ${column}${values ? `: ${values} of the largest` : ""}${isGone ? "; painted over" : ""}.`;
  }
}

new LivePage();
