// One question in one run at one epoch: the answer, the image under each method's map, the words.

/** @param {{question: number, image: HTMLImageElement|"pending"|null, epoch: number, method: string, opacity: number}} view */
function runView(run, view) {
  const { answers, epochs } = report.examples[run];
  const answer = answers[view.question][epochs.indexOf(view.epoch)];
  const content = answer ? [answerLine(run, answer, view), panels(run, answer, view), ...spokenWords(run, view)]
    : [noteLine(`Not analysed at ${epochName(view.epoch)}.`)];
  return make("div", { class: "run-shown" }, several ? make("h3", {}, runs[run].name) : null, ...content);
}

/** Whether an answer is right; null where its accuracy is unknown. */
const isRight = (run, answer) => (
  known(answer?.accuracy) ? answer.accuracy >= report.examples[run].correctAbove : null);
const asked = (run, question) => report.examples[run].answers[question].some(Boolean);

/** A note that names the shown runs without this question, if there are any. */
function notAsked(shown, question) {
  const away = shown.filter((run) => !asked(run, question)).map((run) => runs[run].name);
  return away.length ? noteLine(`Without this question: ${away.join(", ")}.`) : "";
}

function answerLine(run, answer, { question, epoch }) {
  const sure = known(answer.confidence) ? ` (${percent(answer.confidence)} confident)` : "";
  const { truth } = report.questions[question];
  const line = make("p", { class: "answer" }, `${sentence(epochName(epoch))}: answered “${answer.said}”${sure}${truth ? `; the true answer is “${truth}”` : ""}`);
  const right = isRight(run, answer);
  if (right !== null) {
    line.append("; ", make("span", { class: right ? "right" : "wrong" }, `${right ? "✓ right" : "✗ wrong"}, VQA accuracy ${percent(answer.accuracy)}`));
  }
  return line;
}

function panels(run, answer, view) {
  const shown = report.examples[run];
  const maps = mapsOf(run, view.question);
  const now = maps[view.epoch];
  const found = [];
  if (!view.method) found.push(panel("Image", [report.questions[view.question].picture === null ? report.questions[view.question].why : ""], undefined, view));
  if (maps.annotators && (!view.method || view.method === "annotators")) {
    found.push(panel(sentence(runs[run].annotators), [`mean of ${shown.annotators[view.question]}`], maps.annotators, view));
  }
  shown.imageMethods.forEach((method, at) => {
    if (view.method && view.method !== method) return;
    const rho = maps.annotators ? [known(answer.rho[at]) ? `ρ${now[at]?.signed ? ` of ${runs[run].compared}` : ""} ${number(answer.rho[at])} with the annotators` : "ρ undefined"] : [];
    const flips = known(answer.flips[at]) ? [`${now[at]?.boxes ? "boxes" : "cells"} that flip the answer: ${answer.flips[at]}`] : [];
    found.push(panel(names.imageMethods[method].name, [...rho, ...flips, mapNote(now[at])], now[at], view, runs[run].lights[`image/${method}`]));
  });
  if (!found.length) found.push(noteLine("This run has no such map."));
  return make("div", { class: view.method ? "panels one" : "panels" }, ...found);
}

/** An image with a map over it; the image alone if `map` is undefined. */
function panel(name, notes, map, { question, image, epoch, opacity }, light) {
  const text = notes.filter(Boolean).join("; ");
  const said = `${name}, ${epochName(epoch)}, ${report.questions[question].question}${text ? `: ${text}` : ""}`;
  const canvas = make("canvas", { role: "img", "aria-label": said, "data-panel": name });
  if (image !== "pending") paint(canvas, image, map ?? null, opacity);
  return make("figure", {}, make("figcaption", {}, lightSign(light), name), canvas, map ? scaleKey(map.signed, map.boxes ? "nothing" : "least") : null, text ? make("small", {}, text) : null);
}

function spokenWords(run, { question, epoch }) {
  const { words, imageMethods, wordMethods } = report.examples[run];
  const maps = mapsOf(run, question)[epoch].slice(imageMethods.length);
  const element = (word, style) => make("b", { style }, word);
  return wordMethods.map((method, at) => {
    const { name } = names.wordMethods[method];
    const light = lightSign(runs[run].lights[`question/${method}`]);
    return maps[at] ? wordLine(name, maps[at], words[question], element, light)
      : make("div", { class: "spoken" }, make("div", { class: "method" }, name, make("small", {}, mapNote(null))));
  });
}
