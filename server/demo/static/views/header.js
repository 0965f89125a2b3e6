// The top bar: is the page connected, where in the log is it, how many events, how fast.

import { byId, s, setText } from "../shared/lib/dom.js";
import { count, milliseconds, plural } from "../shared/lib/format.js";
import { drawSoon } from "../shared/lib/frames.js";

const WIDTH = 88;
const HEIGHT = 22;

/** @typedef {import("@bunbase/sdk").Realtime} Realtime */

/** What the SDK's states are called here. */
const WORDS = {
  connecting: "Connecting",
  open: "Connected",
  offline: "Reconnecting",
  "needs-auth": "Not connected",
  failed: "Not connected",
  closed: "Not connected",
};
/** The look of each; of the others it is `waiting`. @type {Record<string, string>} */
const LOOKS = { connecting: "connecting", open: "connected" };

/** @param {{realtime: Realtime, feed: import("../data/feed.js").Feed, latency: import("../data/latency.js").Latency}} page */
export function startHeader({ realtime, feed, latency }) {
  showConnection(realtime);
  showFeed(feed);
  latency.addEventListener("measured", (event) => {
    const { took, uncertainty } = /** @type {CustomEvent} */ (event).detail;
    setText(byId("latency"), milliseconds(took));
    byId("latency").title = uncertainty >= 0.5 ? `± ${milliseconds(uncertainty)}` : "within half a millisecond";
    drawSparkline(byId("sparkline"), latency.values);
  });
}

/** @param {Realtime} realtime */
function showConnection(realtime) {
  const box = byId("connection");
  const text = box.querySelector("[data-text]");
  /** @type {ReturnType<typeof setInterval>|undefined} */
  let countdown;
  const update = () => {
    const { state } = realtime.status;
    clearInterval(countdown);
    box.dataset.state = LOOKS[state] ?? "waiting";
    document.documentElement.dataset.connection = box.dataset.state;
    // Only these words are for screen readers; the seconds would be read out each time.
    setText(text, WORDS[state]);
    detail();
    if (state === "offline") countdown = setInterval(detail, 500);
  };
  const detail = () => {
    const { state, reason } = realtime.status;
    const { retryAt } = realtime;
    const left = retryAt === undefined ? 0 : Math.ceil(Math.max(0, retryAt - performance.now()) / 1000);
    box.dataset.detail = left > 1 ? `in ${left} s` : "";
    const why = reason ? `Not connected: ${reason}.` : "The connection was lost.";
    const next = left ? ` The next attempt is in ${plural(left, "second")}.` : "";
    if (box.dataset.state !== "waiting") box.removeAttribute("title");
    else box.title = `${why}${state === "offline" ? next : ""} The lists show what was true before.`;
  };
  realtime.on("status", update);
  update();
}

/** @param {import("../data/feed.js").Feed} feed */
function showFeed(feed) {
  let events = 0;
  let furthest = -1n;
  let position = "–";
  feed.addEventListener("arrived", (event) => {
    const arrival = /** @type {CustomEvent} */ (event).detail;
    events += 1;
    // Subscriptions answer for themselves, so what they bring need not arrive in the order of positions.
    if (arrival.at > furthest) [furthest, position] = [arrival.at, arrival.position];
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
