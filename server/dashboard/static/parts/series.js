// A series over time as a plot, and as a table for those who prefer one.

import { table } from "./table.js";
import { number } from "../lib/values.js";
import { h } from "../shared/lib/dom.js";
import { plural } from "../shared/lib/format.js";
import { plot } from "../shared/parts/plot.js";

/** @typedef {"minute"|"hour"|"day"} Bucket */

const SIZES = { minute: 60_000, hour: 3_600_000, day: 86_400_000 };
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
  const readout = h("p.readout", { "aria-live": "off" });
  const box = h("div.plot");
  const drawing = plot(box, readout, {
    kind,
    slots: 1,
    label: ({ at }) => short(at, shown),
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
    /**
     * @param {{at: string, value: number|null}[]} points buckets in which nothing happened may be missing
     * @param {Bucket} size
     * @param {string} from
     * @param {string} to
     */
    draw(points, size, from, to) {
      bucket = size;
      const filled = fill(points, SIZES[size], from, to);
      shown = filled.length;
      drawing.draw(filled);
      list.draw(filled.toReversed());
    },
  };
}

/**
 * A point for each bucket between two moments.
 * @param {{at: string, value: number|null}[]} points
 * @param {number} size
 * @param {string} from
 * @param {string} to
 */
function fill(points, size, from, to) {
  const known = new Map(points.map(({ at, value }) => [new Date(at).valueOf(), value]));
  const first = Math.ceil(new Date(from).valueOf() / size) * size;
  const last = new Date(to).valueOf();
  const filled = [];
  for (let at = first; at <= last; at += size) filled.push({ at, value: known.get(at) ?? 0 });
  return filled;
}
