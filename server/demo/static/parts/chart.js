// A bar chart of days, drawn on whole pixels so that it stays crisp, usable with the pointer and with arrow keys.

import { s, setText } from "../lib/dom.js";
import { compact, count, day, euros, plural, shortDay, wholeEuros } from "../lib/format.js";

/** @typedef {{day: string, revenue: number, orders: number}} Day */

const HEIGHT = 168;
const TOP = 10;
const BOTTOM = 22;
const LEFT = 40;

/**
 * @param {HTMLElement} box
 * @param {HTMLElement} readout
 * @param {string} nothing what to show when there are no days
 */
export function dayChart(box, readout, nothing) {
  /** @type {Day[]} */
  let days = [];
  /** @type {number|null} */
  let chosen = null;
  const grid = s("g", { class: "grid-lines" });
  const bars = s("g", { class: "day-bars" });
  const labels = s("g", { class: "day-labels" });
  const svg = s("svg", { class: "day-chart", role: "img", tabindex: "0", height: HEIGHT }, grid, bars, labels);
  box.append(svg);

  function draw() {
    const width = Math.floor(box.clientWidth);
    if (!width) return;
    svg.setAttribute("width", String(width));
    const scale = niceScale(Math.max(0, ...days.map(({ revenue }) => revenue)));
    const room = HEIGHT - TOP - BOTTOM;
    const y = (/** @type {number} */ value) => TOP + Math.round(room * (1 - value / scale.top));
    drawGrid(grid, scale, width, y);
    const step = (width - LEFT) / Math.max(days.length, 14);
    const x = (/** @type {number} */ i) => width - Math.round((days.length - i) * step);
    const gap = step >= 5 ? 2 : 1;
    drawBars(bars, days, (i) => ({ x: x(i) + gap, width: x(i + 1) - x(i) - gap, y: y(days[i].revenue), bottom: y(0) }));
    drawLabels(labels, days, (i) => x(i) + step / 2, Math.ceil(64 / step), width);
    choose(chosen);
  }

  function choose(/** @type {number|null} */ index) {
    chosen = index === null || !days.length ? null : Math.min(Math.max(index, 0), days.length - 1);
    const shown = days[chosen ?? days.length - 1];
    [...bars.children].forEach((bar, i) => bar.classList.toggle("chosen", i === (chosen ?? days.length - 1)));
    setText(
      readout,
      shown ? `${day(shown.day)}: ${euros(shown.revenue)} from ${plural(shown.orders, "order")}` : nothing,
    );
    const total = days.reduce((sum, { revenue }) => sum + revenue, 0);
    svg.setAttribute(
      "aria-label",
      `Bar chart of ${count(days.length)} days, together ${wholeEuros(total)}. Left and right arrow keys go from day to day.`,
    );
  }

  const indexAt = (/** @type {PointerEvent} */ event) => {
    const first = bars.firstElementChild?.getBoundingClientRect();
    const last = bars.lastElementChild?.getBoundingClientRect();
    if (!first || !last) return null;
    return Math.round(((event.clientX - first.left) / Math.max(1, last.right - first.left)) * days.length - 0.5);
  };
  svg.addEventListener("pointermove", (event) => choose(indexAt(event)));
  svg.addEventListener("pointerleave", () => choose(null));
  // Read out what the arrow keys choose, but not every change of the data.
  svg.addEventListener("focus", () => readout.setAttribute("aria-live", "polite"));
  svg.addEventListener("blur", () => {
    readout.setAttribute("aria-live", "off");
    choose(null);
  });
  svg.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    if (!(event.key in steps)) return;
    event.preventDefault();
    choose((chosen ?? days.length - 1) + steps[/** @type {keyof typeof steps} */ (event.key)]);
  });
  new ResizeObserver(draw).observe(box);
  return {
    draw(/** @type {Day[]} */ next) {
      days = next;
      draw();
    },
  };
}

/** A round top for the axis and two or three steps below it. */
export function niceScale(/** @type {number} */ most) {
  if (most <= 0) return { top: 1, step: 2 }; // nothing but the zero line
  const rough = most / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) ?? 10);
  return { top: Math.ceil(most / step) * step, step };
}

/**
 * @param {SVGElement} group
 * @param {{top: number, step: number}} scale
 * @param {number} width
 * @param {(value: number) => number} y
 */
function drawGrid(group, { top, step }, width, y) {
  const lines = [];
  for (let value = 0; value <= top * 1.001; value += step) {
    lines.push(
      s("line", { x1: LEFT, x2: width, y1: y(value) + 0.5, y2: y(value) + 0.5, class: value ? null : "zero" }),
    );
    lines.push(s("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, value ? compact(value) : "€0"));
  }
  group.replaceChildren(...lines);
}

/**
 * Bars are kept from one drawing to the next, so that CSS can let them grow.
 * @param {SVGElement} group
 * @param {Day[]} days
 * @param {(index: number) => {x: number, width: number, y: number, bottom: number}} place
 */
function drawBars(group, days, place) {
  while (group.children.length > days.length) group.lastElementChild?.remove();
  days.forEach((_, i) => {
    const { x, width, y, bottom } = place(i);
    const bar = group.children[i] ?? group.appendChild(s("rect", { y: bottom, height: 0 }));
    bar.setAttribute("x", String(x));
    bar.setAttribute("width", String(width));
    bar.setAttribute("y", String(y));
    bar.setAttribute("height", String(Math.max(0, bottom - y)));
  });
}

/**
 * A date under every n-th bar, counted from today.
 * @param {SVGElement} group
 * @param {Day[]} days
 * @param {(index: number) => number} x
 * @param {number} every
 * @param {number} width
 */
function drawLabels(group, days, x, every, width) {
  const last = days.length - 1;
  const texts = days.flatMap(({ day: date }, i) => {
    if ((last - i) % every) return [];
    const place = i === last ? { x: width, "text-anchor": "end" } : { x: x(i), "text-anchor": "middle" };
    return s("text", { ...place, y: HEIGHT - 5 }, shortDay(date));
  });
  group.replaceChildren(...texts);
}
