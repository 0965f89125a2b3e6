// Tables: small ones that are drawn whole, and windows into long ones, of which only the rows in sight are elements.

import { h } from "../shared/lib/dom.js";

/** @typedef {import("../data/pages.js").Row} Row */
/**
 * @typedef {object} Column
 * @property {string} title
 * @property {(row: Row) => Node|string|number|null} cell
 * @property {string} [look] classes of its cells: `num`, `mono`; `medium` and `wide`: only where there is room
 * @property {boolean} [hidden] its title is for screen readers alone
 */

const ROW = 40;
const SPARE = 8;

const classes = (/** @type {Column} */ { look }) => look ?? null;

/** @param {Column[]} columns */
const headOf = (columns) =>
  h(
    "thead",
    {},
    h(
      "tr",
      {},
      ...columns.map((column) =>
        h(
          "th",
          { scope: "col", class: classes(column) },
          column.hidden ? h("span.hidden", {}, column.title) : column.title,
        ),
      ),
    ),
  );

/** @param {Column[]} columns @param {Row} row */
const cellsOf = (columns, row) =>
  columns.map((column, i) => h(i ? "td" : "th", { scope: i ? null : "row", class: classes(column) }, column.cell(row)));

/**
 * @param {string} label
 * @param {Column[]} columns
 * @param {string} nothing
 */
export function table(label, columns, nothing) {
  const body = h("tbody");
  const element = h(
    "div.table-scroll",
    { tabindex: "0", role: "region", "aria-label": `${label}, table` },
    h("table.grid", {}, headOf(columns), body),
  );
  return {
    element,
    draw(/** @type {Row[]} */ rows) {
      const focus = focusIn(body);
      body.replaceChildren(
        ...(rows.length
          ? rows.map((row) => h("tr", {}, ...cellsOf(columns, row)))
          : [h("tr.empty", {}, h("td", { colspan: columns.length }, nothing))]),
      );
      restoreFocus(body, focus);
    },
  };
}

/** Where the focus is, so that it can return to the element that takes the place. @param {Element} body */
function focusIn(body) {
  const controls = [...body.querySelectorAll("a, button")];
  return controls.indexOf(/** @type {Element} */ (document.activeElement));
}

/** @param {Element} body @param {number} at */
function restoreFocus(body, at) {
  if (at < 0) return;
  const controls = /** @type {HTMLElement[]} */ ([...body.querySelectorAll("a, button")]);
  controls[Math.min(at, controls.length - 1)]?.focus({ preventScroll: true });
}

/**
 * A window into a long list.
 * @param {string} label
 * @param {Column[]} columns
 * @param {{key: (row: Row) => string, nothing: string, look: (from: number, to: number) => void}} options `look` is called
 *   when other rows come into sight
 */
export function windowedTable(label, columns, { key, nothing, look }) {
  const body = h("tbody");
  const grid = h("table.grid.windowed", {}, headOf(columns), body);
  const none = h("p.note.none", { hidden: true }, nothing);
  const element = h("div.window", { tabindex: "0", role: "region", "aria-label": `${label}, table` }, grid, none);
  const [above, below] = [spacer(), spacer()];
  let [from, to] = [0, 0];
  /** @type {Map<string, {row: Row, element: HTMLElement}>} */
  let drawn = new Map();
  /** @type {import("../data/listed.js").Listed|null} */
  let pages = null;

  function place() {
    const first = Math.max(0, Math.floor(element.scrollTop / ROW) - SPARE);
    const last = Math.min(pages?.length ?? 0, Math.ceil((element.scrollTop + element.clientHeight) / ROW) + SPARE);
    return [Math.min(first, last), last];
  }

  function rowAt(/** @type {Row|undefined} */ row, /** @type {number} */ index) {
    if (!row) return h("tr.pending", { "aria-rowindex": index + 2 }, h("td", {}, "…"));
    const known = drawn.get(key(row));
    const shown = known?.element ?? h("tr", { "data-key": key(row) });
    if (known?.row !== row) {
      const focus = focusIn(shown);
      shown.replaceChildren(...cellsOf(columns, row));
      restoreFocus(shown, focus);
    }
    shown.setAttribute("aria-rowindex", String(index + 2));
    return shown;
  }

  function draw() {
    if (!pages) return;
    [from, to] = place();
    const rows = pages.rows(from, to);
    const elements = rows.map((row, i) => rowAt(row, from + i));
    const next = new Map(rows.flatMap((row, i) => (row ? [[key(row), { row, element: elements[i] }]] : [])));
    const lost = element.contains(document.activeElement) && document.activeElement !== element;
    above.size(from * ROW);
    below.size((pages.length - to) * ROW);
    none.hidden = !pages.complete || pages.length > 0;
    sync(body, [above.element, ...elements, below.element]);
    drawn = next;
    grid.setAttribute("aria-rowcount", String(pages.length + 1));
    if (lost && !element.contains(document.activeElement)) element.focus({ preventScroll: true });
  }

  let asked = false;
  const soon = () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
      look(from, to);
    });
  };
  element.addEventListener("scroll", soon, { passive: true });
  new ResizeObserver(soon).observe(element);

  return {
    element,
    /** The rows in sight. */
    get range() {
      return place();
    },
    /** Show this list from its top, or draw the same one again. @param {import("../data/listed.js").Listed} list */
    show(list) {
      if (pages !== list) element.scrollTop = 0;
      pages = list;
      draw();
    },
  };
}

/** Stands for the rows out of sight. It has no `colspan`: columns that are hidden would be there again. */
function spacer() {
  const cell = h("td");
  const element = h("tr.spacer", { "aria-hidden": "true" }, cell);
  return {
    element,
    size(/** @type {number} */ height) {
      cell.style.height = `${height}px`;
      element.hidden = height === 0;
    },
  };
}

/** Make `wanted` the children, and leave those in place that are there already: what has the focus keeps it. */
function sync(/** @type {Element} */ parent, /** @type {Element[]} */ wanted) {
  const keep = new Set(wanted);
  for (const child of [...parent.children]) if (!keep.has(child)) child.remove();
  wanted.forEach((child, i) => {
    if (parent.children[i] !== child) parent.insertBefore(child, parent.children[i] ?? null);
  });
}
