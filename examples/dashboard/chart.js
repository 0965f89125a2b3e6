// A line over time as SVG: elements and attributes only, no markup from data.

const NAMESPACE = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, BOTTOM] = [640, 140, 40, 18];

function s(tag, attributes, text) {
  const element = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Draws `points`, `{ at, value }` in order of time, into `box`; `label` puts them into words for screen readers. */
export function drawLine(box, points, label) {
  const top = Math.max(10, ...points.map(({ value }) => value));
  const room = HEIGHT - BOTTOM - 8;
  const x = (i) => LEFT + ((WIDTH - LEFT - 4) * i) / Math.max(1, points.length - 1);
  const y = (value) => 8 + room * (1 - value / top);
  const path = points.map(({ value }, i) => `${x(i).toFixed(1)} ${y(value).toFixed(1)}`).join("L");
  const svg = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
  svg.append(
    s("line", { class: "axis", x1: LEFT, x2: WIDTH, y1: y(0), y2: y(0) }),
    s("text", { x: LEFT - 6, y: y(top) + 4, "text-anchor": "end" }, String(Math.round(top))),
    s("text", { x: LEFT - 6, y: y(0) + 4, "text-anchor": "end" }, "0"),
  );
  if (points.length) {
    svg.append(
      s("path", { class: "area", d: `M${x(0)} ${y(0)}L${path}L${x(points.length - 1)} ${y(0)}Z` }),
      s("path", { class: "line", d: `M${path}` }),
      s("text", { x: LEFT, y: HEIGHT - 3 }, clock(points[0].at)),
      s("text", { x: WIDTH - 4, y: HEIGHT - 3, "text-anchor": "end" }, clock(points.at(-1).at)),
    );
  }
  box.replaceChildren(svg);
}

const clock = (text) =>
  new Date(text).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
