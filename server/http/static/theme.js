// Light or dark, as the system is set until the visitor chooses. A classic script in <head>, so that the page never flashes.
(() => {
  const KEY = "bunbase-theme";
  const system = matchMedia("(prefers-color-scheme: dark)");
  const stored = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage is blocked: the choice lasts as long as the page
    }
  };
  const current = () => document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light");

  const choice = stored();
  if (choice === "light" || choice === "dark") document.documentElement.dataset.theme = choice;

  const name = (/** @type {HTMLElement} */ button) => {
    button.setAttribute("aria-label", current() === "dark" ? "Switch to light colours" : "Switch to dark colours");
  };

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    name(button);
    system.addEventListener("change", () => name(button));
    button.addEventListener("click", () => {
      document.documentElement.dataset.theme = current() === "dark" ? "light" : "dark";
      try {
        localStorage.setItem(KEY, document.documentElement.dataset.theme);
      } catch {
        // as above
      }
      name(button);
    });
  });
})();
