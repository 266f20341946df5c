// Characters that no font of the reader's machine draws: their code points, e.g. U+732B, instead of empty boxes.

const withoutBoxes = (() => {
  const canvas = make("canvas", { width: 24, height: 24 });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.font = "16px system-ui, sans-serif";
  const drawn = (text) => {
    pen.clearRect(0, 0, 24, 24);
    pen.fillText(text, 2, 18);
    return pen.getImageData(0, 0, 24, 24).data.join();
  };
  const box = drawn("\uFDD0"); // no font has a glyph for it: Unicode will never assign it
  const shown = new Map();
  const show = (character) => {
    if (!shown.has(character)) {
      const code = character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
      shown.set(character, drawn(character) === box ? ` U+${code} ` : character);
    }
    return shown.get(character);
  };
  // Latin, punctuation and marks without a width of their own are not looked at.
  const others = /[^\u0000-\u024F\u2000-\u206F\p{M}]+/gu;
  return (text) => text.replace(others, (run) => [...run].map(show).join("").replaceAll("  ", " ").trim());
})();

/** Replace the characters in all text below a node. */
function replaceBoxes(node) {
  if (node.nodeType === Node.TEXT_NODE) {
    const text = withoutBoxes(node.data);
    if (text !== node.data) node.data = text;
  } else if (!["SCRIPT", "STYLE"].includes(node.nodeName)) node.childNodes.forEach(replaceBoxes);
}

replaceBoxes(document.body);
new MutationObserver((changes) => changes.forEach(({ type, target, addedNodes }) => {
  if (type === "characterData") replaceBoxes(target);
  else addedNodes.forEach(replaceBoxes);
})).observe(document.body, { subtree: true, childList: true, characterData: true });
