// The theme button, and the sections in the order of the page.

themeButton();
agreementSection();
examplesSection();
wordsSection();
accuracySection();
failureSection();
document.documentElement.dataset.ready = String(Math.round(performance.now()));
