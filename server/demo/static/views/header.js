// The top bar: is the page connected, where in the log is it, how many events, how fast.

import { byId, s, setText } from "../shared/lib/dom.js";
import { count, milliseconds, plural } from "../shared/lib/format.js";
import { drawSoon } from "../shared/lib/frames.js";
import { parsePosition } from "../shared/data/changes.js";

const WIDTH = 88;
const HEIGHT = 22;

/** @param {{live: import("../shared/data/live.js").Live, latency: import("../data/latency.js").Latency}} page */
export function startHeader({ live, latency }) {
  showConnection(live);
  showFeed(live);
  latency.addEventListener("measured", (event) => {
    const { took, uncertainty } = /** @type {CustomEvent} */ (event).detail;
    setText(byId("latency"), milliseconds(took));
    byId("latency").title = uncertainty >= 0.5 ? `± ${milliseconds(uncertainty)}` : "within half a millisecond";
    drawSparkline(byId("sparkline"), latency.values);
  });
}

/** @param {import("../shared/data/live.js").Live} live */
function showConnection(live) {
  const box = byId("connection");
  const text = box.querySelector("[data-text]");
  /** @type {ReturnType<typeof setInterval>|undefined} */
  let countdown;
  const update = () => {
    const { name, attempt, retryAt } = live.state;
    clearInterval(countdown);
    box.dataset.state = attempt && name === "connecting" ? "waiting" : name;
    document.documentElement.dataset.connection = box.dataset.state;
    if (name === "connected") setText(text, "Connected");
    else if (name === "connecting") setText(text, attempt ? "Reconnecting" : "Connecting");
    else {
      // Only the first words are for screen readers; the seconds would be read out each time.
      setText(text, "Reconnecting");
      const seconds = () => {
        const left = Math.ceil(Math.max(0, (retryAt ?? 0) - Date.now()) / 1000);
        box.dataset.detail = left > 1 ? `in ${left} s` : "";
        box.title = `The connection was lost; attempt ${attempt} in ${plural(left, "second")}. The lists show what was true before.`;
      };
      seconds();
      countdown = setInterval(seconds, 500);
      return;
    }
    box.dataset.detail = "";
    box.removeAttribute("title");
  };
  live.addEventListener("state", update);
  update();
}

/** @param {import("../shared/data/live.js").Live} live */
function showFeed(live) {
  let events = 0;
  let furthest = -1n;
  let position = "–";
  live.addEventListener("event", (event) => {
    const detail = /** @type {CustomEvent} */ (event).detail;
    events += 1;
    const at = parsePosition(detail.position);
    // Subscriptions answer for themselves, so their events need not arrive in the order of positions.
    if (at > furthest) [furthest, position] = [at, detail.position];
    drawSoon(showFeed, () => {
      setText(byId("position"), position);
      setText(byId("events"), count(events));
    });
  });
}

/**
 * @param {SVGElement} svg
 * @param {number[]} values
 */
function drawSparkline(svg, values) {
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  const top = Math.max(20, ...values);
  const step = 4;
  const recent = values.slice(-Math.floor(WIDTH / step));
  svg.replaceChildren(
    ...recent.map((value, i) => {
      const height = Math.max(2, Math.round((value / top) * (HEIGHT - 2)));
      return s("rect", {
        x: i * step,
        y: HEIGHT - height,
        width: step - 1,
        height,
        class: i === recent.length - 1 ? "last" : null,
      });
    }),
  );
}
