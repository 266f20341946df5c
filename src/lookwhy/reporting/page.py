"""The report page around its sections: its looks, in light and dark, and the script of its epoch slider.

`{{name}}` marks what `lookwhy.reporting.html` fills in.
"""

TEMPLATE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{title}}</title>
<style>
:root { --ink: #1d2329; --muted: #5b646e; --faint: #d5d9de;
  --paper: #f6f7f8; --card: #ffffff; --accent: #0072b2; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ebee; --muted: #a4adb6; --faint: #3a424a;
    --paper: #14181c; --card: #1d2329; --accent: #56b4e9; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 4px; }
h2 { font-size: 1.15rem; margin: 0 0 12px; }
section { background: var(--card); border: 1px solid var(--faint); border-radius: 10px;
  padding: 18px; margin-top: 18px; }
.note { color: var(--muted); font-size: .875rem; margin: 10px 0 0; overflow-wrap: anywhere; }
header p { margin: 2px 0; color: var(--muted); overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
.chart { min-width: 520px; max-width: 820px; margin: 0 auto; }
.charts > :first-child { grid-column: 1 / -1; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(520px, 100%), 1fr)); gap: 24px; }
.chart svg { display: block; width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; min-width: 640px; font-variant-numeric: tabular-nums; }
th, td { padding: 7px 10px; border-bottom: 1px solid var(--faint); text-align: right; vertical-align: top; }
th[scope=row], th:first-child { text-align: left; font-weight: 600; }
thead th { color: var(--muted); font-size: .82rem; vertical-align: bottom; }
tr.baseline th { font-weight: 400; color: var(--muted); }
td small { display: block; color: var(--muted); white-space: nowrap; }
.controls { display: flex; flex-wrap: wrap; gap: 10px 20px; align-items: center; margin-bottom: 12px; }
.controls label { display: flex; gap: 8px; align-items: center; max-width: 100%; }
.controls label[hidden] { display: none; }
.controls select { font: inherit; min-width: 0; max-width: min(560px, 70vw); padding: 4px 6px;
  color: var(--ink); background: var(--card); border: 1px solid var(--muted); border-radius: 6px; }
.controls output { min-width: 5.2em; font-weight: 700; text-align: right;
  font-variant-numeric: tabular-nums; }
.slider { flex: 1 1 260px; }
.slider input { flex: 1; min-width: 120px; accent-color: var(--accent); }
#strip { display: block; width: 100%; min-width: 720px; max-width: 1140px; height: auto; border-radius: 6px; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
footer { margin-top: 20px; color: var(--muted); font-size: .875rem; }
</style>
</head>
<body>
<main>
<header>
<h1>{{title}}</h1>
<p>{{runs}}</p>
{{notes}}
</header>
{{sections}}
<footer>Written by lookwhy {{version}}, after Goyal et al. 2016.</footer>
</main>
<script>
(function () {
  const block = document.getElementById("strips");
  if (!block) return;
  const all = JSON.parse(block.textContent);
  const [run, question, epoch, shown, strip] =
    ["run", "question", "epoch", "shown", "strip"].map((id) => document.getElementById(id));
  let epochs = [];
  const name = (number) => (number < 0 ? "untrained" : "epoch " + number);
  function show() {
    const number = epochs[epoch.value];
    shown.textContent = name(number);
    epoch.setAttribute("aria-valuetext", name(number));
    strip.src = all[run.value].examples[question.value][number];
    strip.alt = "Where the model looked, " + name(number) + ": " + all[run.value].questions[question.value];
  }
  function fillEpochs() {
    const kept = epochs[epoch.value];
    const found = all[run.value].examples[question.value];
    epochs = all[run.value].epochs.filter((number) => String(number) in found);
    epoch.max = epochs.length - 1;
    epoch.disabled = epochs.length < 2;
    epoch.value = kept !== undefined && epochs.includes(kept) ? epochs.indexOf(kept) : epochs.length - 1;
    show();
  }
  function fillQuestions() {
    const kept = question.value;
    question.replaceChildren(...Object.entries(all[run.value].questions).map(([id, text]) => {
      const option = document.createElement("option");
      option.value = id;
      option.textContent = text;
      return option;
    }));
    if (kept in all[run.value].questions) question.value = kept;
    fillEpochs();
  }
  run.addEventListener("change", fillQuestions);
  question.addEventListener("change", fillEpochs);
  epoch.addEventListener("input", show);
  fillQuestions();
})();
</script>
</body>
</html>
"""
