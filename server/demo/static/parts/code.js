// The code of a panel: behind a button in its head, in three languages, ready to be copied.

import { h, icon, setText } from "../shared/lib/dom.js";

/** @typedef {import("../lib/snippets.js").Snippet} Snippet */

const KEY = "bunbase-language";
/** @type {Set<Code>} */
const shown = new Set();

export class Code {
  #button;
  #box;
  #code = h("pre.code", { tabindex: "0" });
  #languages = h("div.languages", { role: "group", "aria-label": "Language" });
  #copy = h("button.button.quiet-button", { type: "button" }, "Copy");
  /** @type {Snippet[]} */ #snippets = [];

  /**
   * @param {string} name of the panel, for ids
   * @param {string} title of the panel
   */
  constructor(name, title) {
    const id = `code-${name}`;
    this.#button = h(
      "button.icon-button.small",
      {
        type: "button",
        "aria-expanded": "false",
        "aria-controls": id,
        "aria-label": `Show the code of ${title}`,
        title: "Show the code",
      },
      icon("M5.5 4 2 8l3.5 4M10.5 4 14 8l-3.5 4"),
    );
    this.#box = h(
      "div.code-box",
      { id, hidden: true, role: "region", "aria-label": `Code of ${title}` },
      h("div.code-bar", {}, this.#languages, this.#copy),
      this.#code,
    );
    this.#button.addEventListener("click", () => {
      this.#box.hidden = !this.#box.hidden;
      this.#button.setAttribute("aria-expanded", String(!this.#box.hidden));
    });
    this.#copy.addEventListener("click", () => this.#copied());
    shown.add(this);
  }

  /** @param {Element} head of the panel: the button goes into it, the code below it */
  attach(head) {
    head.append(this.#button);
    head.after(this.#box);
  }

  /** @param {Snippet[]} snippets */
  show(snippets) {
    this.#snippets = snippets;
    this.draw();
  }

  /** Show it in the language that was chosen last, in whichever panel. */
  draw() {
    const language = chosen();
    const snippet = this.#snippets.find((each) => each.language === language) ?? this.#snippets[0];
    const focused = this.#languages.contains(document.activeElement);
    this.#languages.replaceChildren(
      ...this.#snippets.map((each) =>
        h(
          "button",
          { type: "button", "aria-pressed": String(each === snippet), onclick: () => choose(each.language) },
          each.language,
        ),
      ),
    );
    if (focused) /** @type {HTMLElement|null} */ (this.#languages.querySelector('[aria-pressed="true"]'))?.focus();
    setText(this.#code, snippet?.code ?? "");
    setText(this.#copy, "Copy");
  }

  async #copied() {
    try {
      await navigator.clipboard.writeText(this.#code.textContent ?? "");
      setText(this.#copy, "Copied");
    } catch {
      getSelection()?.selectAllChildren(this.#code); // no permission, or not a secure origin: ready for Ctrl+C
    }
  }
}

function chosen() {
  try {
    return localStorage.getItem(KEY) ?? "TypeScript";
  } catch {
    return fallback;
  }
}

let fallback = "TypeScript"; // where storage is blocked

/** @param {string} language */
function choose(language) {
  fallback = language;
  try {
    localStorage.setItem(KEY, language);
  } catch {
    // the choice lasts as long as the page
  }
  for (const each of shown) each.draw();
}
