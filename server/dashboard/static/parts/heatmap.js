// The hours of a week as a table whose cells are shaded by their value.

import { number } from "../lib/values.js";
import { h } from "../shared/lib/dom.js";

const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const HOURS = Array.from({ length: 24 }, (_, hour) => hour);

/** @param {import("./block.js").Block} block */
export function heatmap(block) {
  const body = h("tbody");
  const heads = HOURS.map((hour) =>
    h("th", { scope: "col" }, hour % 3 ? h("span.hidden", {}, `${hour} h`) : String(hour)),
  );
  block.body.append(
    h(
      "div.table-scroll",
      { tabindex: "0", role: "region", "aria-label": "Peak times, table" },
      h("table.heat", {}, h("thead", {}, h("tr", {}, h("td"), ...heads)), body),
    ),
  );
  return {
    /** @param {Record<string, any>[]} rows */
    draw(rows) {
      const values = new Map(rows.map(({ weekday, hour, value }) => [weekday * 24 + hour, value]));
      const most = Math.max(...values.values(), 1e-9);
      body.replaceChildren(
        ...DAYS.map((day, i) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, day),
            ...HOURS.map((hour) => {
              const value = values.get((i + 1) * 24 + hour) ?? 0;
              const cell = h(
                "td",
                { title: `${day} ${hour}:00, ${number(Math.round(value * 10) / 10)}` },
                h("span.hidden", {}, number(Math.round(value))),
              );
              cell.style.setProperty("--heat", String(Math.round((value / most) * 100)));
              return cell;
            }),
          ),
        ),
      );
    },
  };
}
