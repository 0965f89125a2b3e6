// Making elements. Text is always text: nothing on this page is ever parsed as HTML.

/** @typedef {Node|string|number|null|undefined|false} Child */

/**
 * `h("button.primary", {type: "button", onclick: run}, "Run")`. Properties starting with "on" are listeners, the rest
 * attributes; `false`, `null` and `undefined` leave an attribute away.
 * @param {string} selector tag and classes
 * @param {Record<string, any>} [attributes]
 * @param {...Child} children
 * @returns {HTMLElement}
 */
export function h(selector, attributes = {}, ...children) {
  const [tag, ...classes] = selector.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, String(value));
  }
  element.append(...present(children));
  return element;
}

/**
 * The same for SVG.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...Child} children
 * @returns {SVGElement}
 */
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) if (value != null) element.setAttribute(name, String(value));
  element.append(...present(children));
  return element;
}

/** @param {Child[]} children */
const present = (children) =>
  children
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));

/**
 * An element that the page certainly has.
 * @param {string} id
 * @returns {any}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no element #${id}`);
  return element;
}

/**
 * Set text only if it differs, so that screen readers and layout are left in peace.
 * @param {Element} element
 * @param {string|number} text
 * @returns {boolean} whether it changed
 */
export function setText(element, text) {
  if (element.textContent === String(text)) return false;
  element.textContent = String(text);
  return true;
}

/** A 16-pixel line icon. @param {string} path */
export const icon = (path) =>
  s("svg", { viewBox: "0 0 16 16", "aria-hidden": "true", class: "icon" }, s("path", { d: path }));

/**
 * A table row that explains why there are no others.
 * @param {HTMLTableSectionElement} body
 * @param {boolean} empty
 * @param {number} columns
 * @param {string} [text]
 */
export function emptyRow(body, empty, columns, text = "") {
  const shown = body.querySelector(".empty");
  if (empty && !shown) body.append(h("tr.empty", {}, h("td", { colspan: columns }, text)));
  else if (!empty) shown?.remove();
}
