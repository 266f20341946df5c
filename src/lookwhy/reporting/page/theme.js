// The theme button: automatic, light or dark. The choice is remembered if the browser allows it.

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
