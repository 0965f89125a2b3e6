// Figures side by side.

import { h, setText } from "../shared/lib/dom.js";

/**
 * @param {[name: string, title: string, tip?: string][]} figures
 * @returns {{element: HTMLElement, set: (name: string, text: string, level?: string) => void}}
 */
export function tiles(figures) {
  const values = new Map();
  const element = h(
    "dl.tiles",
    { "data-count": figures.length },
    ...figures.map(([name, title, tip]) => {
      const value = h("dd", { "data-figure": name }, "–");
      values.set(name, value);
      const help = tip && h("button.tip", { type: "button", "data-tip": tip, "aria-label": `About ${title}` }, "?");
      return h("div.tile", {}, h("dt", {}, title, help), value);
    }),
  );
  return {
    element,
    set(name, text, level = "") {
      const value = values.get(name);
      setText(value, text);
      value.dataset.level = level;
    },
  };
}

/** Names and values below each other. @param {[string, Node|string|null][]} fields */
export const facts = (fields) =>
  h("dl.facts", {}, ...fields.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value ?? "–"))));

/** A word with a lamp before it. @param {string} word @param {"good"|"warn"|"bad"|""} level */
export const lampWord = (word, level) => h("span.status", { "data-level": level }, word);
