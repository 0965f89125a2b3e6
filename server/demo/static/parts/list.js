// A keyed list on screen: rows are reused, and slide to where they belong (FLIP: first, last, invert, play).
// No motion for visitors who ask for less of it, for long jumps, and while they read further down.

/** @typedef {import("@bunbase/sdk").Doc} Doc */
/** @typedef {{element: HTMLElement, update: (doc: Doc, before: Doc|null) => void}} RowView */
/**
 * @typedef {object} Options
 * @property {(doc: Doc) => RowView} create
 * @property {HTMLElement} [scroller] the scrolling box; while it is scrolled down nothing slides
 * @property {HTMLElement} [ghosts] where rows that left fade out
 * @property {string} [name] of the rows' elements, set as data-id
 */

const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
const MAX_MOVES = 60;
const EASE = "cubic-bezier(0.2, 0.8, 0.2, 1)";

export class AnimatedList {
  #container;
  #options;
  /** @type {Map<string, {doc: Doc, view: RowView}>} */ #rows = new Map();
  #drawn = false;

  /**
   * @param {HTMLElement} container
   * @param {Options} options
   */
  constructor(container, options) {
    this.#container = container;
    this.#options = options;
  }

  /**
   * Show exactly these rows in this order.
   * @param {readonly Doc[]} docs
   * @param {{still?: boolean}} [how] `still`: another list takes this one's place; nothing moves or lights up
   */
  draw(docs, { still = false } = {}) {
    const quiet = still || !this.#drawn;
    const before = quiet ? null : this.#places();
    const focused = /** @type {HTMLElement|null} */ (
      this.#container.contains(document.activeElement) ? document.activeElement : null
    );
    const changed = this.#reconcile(docs, before);
    // Moving an element in the document takes the focus away from what is in it.
    if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
    this.#drawn = true;
    if (before) this.#play(before, changed);
  }

  /** Where rows are now, unless there is nothing to animate. */
  #places() {
    if (document.hidden || !this.#container.offsetParent) return null;
    /** @type {Map<string, DOMRect>} */
    const places = new Map();
    if (reducedMotion.matches || (this.#options.scroller?.scrollTop ?? 0) > 8 || this.#rows.size > 200) return places;
    for (const [id, { view }] of this.#rows) places.set(id, view.element.getBoundingClientRect());
    return places;
  }

  /**
   * Make the elements equal to the documents; returns the ids that are new or different.
   * @param {readonly Doc[]} docs
   * @param {Map<string, DOMRect>|null} places
   */
  #reconcile(docs, places) {
    const wanted = new Set(docs.map((doc) => doc.id));
    const leaving = [...this.#rows].filter(([id]) => !wanted.has(id));
    for (const [id, { view }] of leaving) {
      const place = leaving.length <= MAX_MOVES ? places?.get(id) : undefined;
      view.element.remove();
      this.#rows.delete(id);
      if (place) this.#fadeAway(view.element, place);
    }
    /** @type {Set<string>} */
    const changed = new Set();
    /** @type {Element|null} */
    let next = null;
    for (const doc of [...docs].reverse()) {
      const row = this.#rows.get(doc.id) ?? this.#add(doc);
      if (row.doc !== doc || !row.view.element.isConnected) {
        if (JSON.stringify(row.doc.data()) !== JSON.stringify(doc.data()) || !row.view.element.isConnected)
          changed.add(doc.id);
        row.view.update(doc, row.doc === doc ? null : row.doc);
        row.doc = doc;
      }
      if (!row.view.element.isConnected || row.view.element.nextElementSibling !== next) {
        this.#container.insertBefore(row.view.element, next);
      }
      next = row.view.element;
    }
    return changed;
  }

  /** @param {Doc} doc */
  #add(doc) {
    const row = { doc, view: this.#options.create(doc) };
    row.view.element.dataset.id = doc.id;
    this.#rows.set(doc.id, row);
    return row;
  }

  /**
   * @param {Map<string, DOMRect>} before
   * @param {Set<string>} changed
   */
  #play(before, changed) {
    if (changed.size > MAX_MOVES) return;
    const moving = before.size > 0;
    for (const [id, { view }] of this.#rows) {
      const from = before.get(id);
      if (changed.has(id)) lightUp(view.element);
      if (!moving) continue;
      if (!from) {
        if (changed.has(id))
          view.element.animate(
            [
              { opacity: 0, transform: "translateY(-6px)" },
              { opacity: 1, transform: "none" },
            ],
            { duration: 260, easing: EASE },
          );
        continue;
      }
      const distance = from.top - view.element.getBoundingClientRect().top;
      if (Math.abs(distance) < 1) continue;
      const zIndex = changed.has(id) ? 1 : 0; // what changed passes in front of what makes room
      view.element.animate(
        [
          { transform: `translateY(${distance}px)`, zIndex },
          { transform: "none", zIndex },
        ],
        { duration: 320, easing: EASE },
      );
    }
  }

  /**
   * @param {HTMLElement} element
   * @param {DOMRect} place
   */
  #fadeAway(element, place) {
    const layer = this.#options.ghosts;
    if (!layer) return;
    const origin = layer.getBoundingClientRect();
    element.inert = true;
    Object.assign(element.style, {
      position: "absolute",
      top: `${place.top - origin.top}px`,
      left: "0",
      width: `${place.width}px`,
    });
    layer.append(element);
    const end = () => element.remove();
    element
      .animate([{ opacity: 1 }, { opacity: 0, transform: "scale(0.985)" }], {
        duration: 200,
        easing: "ease-out",
        fill: "forwards",
      })
      .finished.then(end, end);
  }
}

/** A short tint, so that the eye finds what changed. It is colour, not motion, so it stays for everyone. */
export function lightUp(/** @type {Element} */ element) {
  const tint = "var(--fresh)";
  element.animate([{ backgroundColor: tint }, { backgroundColor: tint, offset: 0.25 }, {}], {
    duration: 1400,
    easing: "ease-out",
  });
}
