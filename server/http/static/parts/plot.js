// Bars or a line over time, drawn on whole pixels so that it stays crisp, usable with the pointer and with arrow keys.

import { s, setText } from "../lib/dom.js";
import { compact } from "../lib/format.js";

/** @typedef {{value: number|null, [field: string]: any}} Point a value of null is a gap */
/**
 * @typedef {object} Look
 * @property {"bars"|"line"} [kind]
 * @property {number} [slots] the least number of points that the width is divided by
 * @property {(value: number) => string} [tick] the text beside a line of the grid
 * @property {(point: Point) => string} label the text below a point, short
 * @property {(point: Point) => string} read a point in words
 * @property {(points: Point[]) => string} name all of it in words; how the keys work is added
 * @property {string} nothing what to show when there are no points
 */

const HEIGHT = 168;
const TOP = 10;
const BOTTOM = 22;
const LEFT = 40;
const STEPS = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };

/**
 * @param {HTMLElement} box
 * @param {HTMLElement} readout where the chosen point is put into words
 * @param {Look} look
 */
export function plot(box, readout, look) {
  const { kind = "bars", slots = 14, tick = compact } = look;
  /** @type {Point[]} */
  let points = [];
  /** @type {number|null} */
  let chosen = null;
  let step = 1;
  /** From an index and from a value to pixels. @type {(n: number) => number} */
  let x = Number;
  /** @type {(n: number) => number} */
  let y = Number;
  const grid = s("g", { class: "grid-lines" });
  const marks = s("g", { class: kind === "bars" ? "plot-bars" : "plot-line" });
  const labels = s("g", { class: "plot-labels" });
  const svg = s("svg", { class: "plot-drawing", role: "img", tabindex: "0", height: HEIGHT }, grid, marks, labels);
  box.append(svg);

  function draw() {
    const width = Math.floor(box.clientWidth);
    if (!width) return;
    svg.setAttribute("width", String(width));
    const scale = niceScale(Math.max(0, ...points.map(({ value }) => value ?? 0)));
    const room = HEIGHT - TOP - BOTTOM;
    y = (value) => TOP + Math.round(room * (1 - value / scale.top));
    drawGrid(grid, scale, width, y, tick);
    step = (width - LEFT) / Math.max(points.length, slots);
    x = (i) => width - Math.round((points.length - i) * step);
    if (kind === "bars") drawBars(marks, points, (i) => slot(i));
    else drawLine(marks, points, (i) => x(i) + step / 2, y);
    drawLabels(labels, points.map(look.label), (i) => x(i) + step / 2, Math.ceil(64 / step), width);
    choose(chosen);
  }

  function slot(/** @type {number} */ i) {
    const gap = step >= 5 ? 2 : 1;
    return { x: x(i) + gap, width: Math.max(1, x(i + 1) - x(i) - gap), y: y(points[i].value ?? 0), bottom: y(0) };
  }

  function choose(/** @type {number|null} */ index) {
    chosen = index === null || !points.length ? null : Math.min(Math.max(index, 0), points.length - 1);
    const shown = chosen ?? points.length - 1;
    if (kind === "bars") [...marks.children].forEach((bar, i) => bar.classList.toggle("chosen", i === shown));
    else placeDot(marks, points[shown], x(shown) + step / 2, y);
    setText(readout, points[shown] ? look.read(points[shown]) : look.nothing);
    svg.setAttribute("aria-label", `${look.name(points)} Left and right arrow keys go from one to the next.`);
  }

  const indexAt = (/** @type {PointerEvent} */ event) =>
    points.length ? Math.floor((event.clientX - svg.getBoundingClientRect().left - x(0)) / step) : null;
  svg.addEventListener("pointermove", (event) => choose(indexAt(event)));
  svg.addEventListener("pointerleave", () => choose(null));
  // Read out what the arrow keys choose, but not every change of the data.
  svg.addEventListener("focus", () => readout.setAttribute("aria-live", "polite"));
  svg.addEventListener("blur", () => {
    readout.setAttribute("aria-live", "off");
    choose(null);
  });
  svg.addEventListener("keydown", (event) => {
    if (!(event.key in STEPS)) return;
    event.preventDefault();
    choose((chosen ?? points.length - 1) + STEPS[/** @type {keyof typeof STEPS} */ (event.key)]);
  });
  new ResizeObserver(draw).observe(box);
  return {
    draw(/** @type {Point[]} */ next) {
      points = next;
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
 * @param {(value: number) => string} tick
 */
function drawGrid(group, { top, step }, width, y, tick) {
  const lines = [];
  for (let value = 0; value <= top * 1.001; value += step) {
    lines.push(
      s("line", { x1: LEFT, x2: width, y1: y(value) + 0.5, y2: y(value) + 0.5, class: value ? null : "zero" }),
    );
    lines.push(s("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, tick(value)));
  }
  group.replaceChildren(...lines);
}

/**
 * Bars are kept from one drawing to the next, so that CSS can let them grow.
 * @param {SVGElement} group
 * @param {Point[]} points
 * @param {(index: number) => {x: number, width: number, y: number, bottom: number}} place
 */
function drawBars(group, points, place) {
  while (group.children.length > points.length) group.lastElementChild?.remove();
  points.forEach((_, i) => {
    const { x, width, y, bottom } = place(i);
    const bar = group.children[i] ?? group.appendChild(s("rect", { y: bottom, height: 0 }));
    bar.setAttribute("x", String(x));
    bar.setAttribute("width", String(width));
    bar.setAttribute("y", String(y));
    bar.setAttribute("height", String(Math.max(0, bottom - y)));
  });
}

/**
 * A line with the area below it, interrupted where there is no value, and a dot for the chosen point.
 * @param {SVGElement} group
 * @param {Point[]} points
 * @param {(index: number) => number} x
 * @param {(value: number) => number} y
 */
function drawLine(group, points, x, y) {
  const paths = runs(points).map((run) => {
    const line = run.map((i) => `${x(i).toFixed(1)} ${y(points[i].value ?? 0)}`).join("L");
    const [first, last] = [x(run[0]).toFixed(1), x(run[run.length - 1]).toFixed(1)];
    return [
      s("path", { class: "area", d: `M${first} ${y(0)}L${line}L${last} ${y(0)}Z` }),
      s("path", { class: "line", d: `M${line}${run.length === 1 ? "h0" : ""}` }),
    ];
  });
  group.replaceChildren(...paths.flat(), s("circle", { class: "chosen", r: 3.5 }));
}

/** Neighbours that have values, as lists of their indexes. @param {Point[]} points */
function runs(points) {
  /** @type {number[][]} */
  const found = [];
  points.forEach(({ value }, i) => {
    if (value === null) return;
    const last = found[found.length - 1];
    if (last?.[last.length - 1] === i - 1) last.push(i);
    else found.push([i]);
  });
  return found;
}

/**
 * @param {SVGElement} group
 * @param {Point|undefined} point
 * @param {number} x
 * @param {(value: number) => number} y
 */
function placeDot(group, point, x, y) {
  const dot = group.querySelector(".chosen");
  const shown = point && point.value !== null;
  dot?.setAttribute("visibility", shown ? "visible" : "hidden");
  if (!shown) return;
  dot?.setAttribute("cx", x.toFixed(1));
  dot?.setAttribute("cy", String(y(point.value ?? 0)));
}

/**
 * A text under every n-th point, counted from the last one.
 * @param {SVGElement} group
 * @param {string[]} texts
 * @param {(index: number) => number} x
 * @param {number} every
 * @param {number} width
 */
function drawLabels(group, texts, x, every, width) {
  const last = texts.length - 1;
  const shown = texts.flatMap((text, i) => {
    if ((last - i) % every) return [];
    const place = i === last ? { x: width, "text-anchor": "end" } : { x: x(i), "text-anchor": "middle" };
    return s("text", { ...place, y: HEIGHT - 5 }, text);
  });
  group.replaceChildren(...shown);
}
