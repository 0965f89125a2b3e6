// A series over time as a plot, and as a table for those who prefer one.

import { table } from "./table.js";
import { number } from "../lib/values.js";
import { h } from "../shared/lib/dom.js";
import { plural } from "../shared/lib/format.js";
import { plot } from "../shared/parts/plot.js";

/** @typedef {"minute"|"hour"|"day"} Bucket */

/** Buckets are UTC, and so are their names: a day here is not a day elsewhere. @param {Intl.DateTimeFormatOptions} options */
const utc = (options) => new Intl.DateTimeFormat("en", { timeZone: "UTC", hourCycle: "h23", ...options });
const day = utc({ day: "numeric", month: "short" });
const clock = utc({ hour: "2-digit", minute: "2-digit" });
const full = utc({ weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const fullDay = utc({ weekday: "short", day: "numeric", month: "short", year: "numeric" });

/** @param {import("./block.js").Block} block @param {string} title @param {"bars"|"line"} kind */
export function seriesPlot(block, title, kind) {
  /** @type {Bucket} */
  let bucket = "hour";
  const words = (/** @type {number} */ at) => (bucket === "day" ? fullDay.format(at) : `${full.format(at)} UTC`);
  const short = (/** @type {number} */ at, /** @type {number} */ points) =>
    bucket === "day" || (bucket === "hour" && points > 48) ? day.format(at) : clock.format(at);
  let shown = 0;
  let newest = 0;
  const readout = h("p.readout", { "aria-live": "off" });
  const box = h("div.plot");
  const drawing = plot(box, readout, {
    kind,
    slots: 1,
    label: ({ at }) => (at === newest ? "now" : short(at, shown)),
    read: ({ at, value }) => `${words(at)}: ${number(value)}`,
    name: (points) => `${title}, ${plural(points.length, bucket)}, ${kind === "bars" ? "bar" : "line"} chart.`,
    nothing: "No figures yet.",
  });
  const list = table(
    `${title} as a table`,
    [
      { title: "Time", cell: ({ at }) => words(at) },
      { title, look: "num", cell: ({ value }) => number(value) },
    ],
    "No figures yet.",
  );
  list.element.hidden = true;
  const toggle = h(
    "button.button.small",
    { type: "button", "aria-expanded": "false", onclick: turn },
    "Table",
    h("span.hidden", {}, ` of ${title}`),
  );
  block.actions.append(toggle);
  block.element.classList.add("chart");
  block.body.append(readout, box, list.element);

  function turn() {
    list.element.hidden = !list.element.hidden;
    toggle.setAttribute("aria-expanded", String(!list.element.hidden));
  }

  return {
    /** @param {{at: string, value: number|null}[]} points @param {Bucket} size */
    draw(points, size) {
      bucket = size;
      shown = points.length;
      const timed = points.map(({ at, value }) => ({ at: new Date(at).valueOf(), value }));
      newest = timed.at(-1)?.at ?? 0;
      drawing.draw(timed);
      list.draw(timed.toReversed());
    },
  };
}
