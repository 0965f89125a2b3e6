// Alerts as rows.

import { table } from "./table.js";
import { lampWord } from "./tiles.js";
import { measured } from "../lib/measures.js";
import { clientText } from "../lib/values.js";
import { h } from "../shared/lib/dom.js";

/** @type {Record<string, "warn"|"bad"|"">} */
const LEVELS = { info: "", warning: "warn", critical: "bad" };

/** @param {string} severity */
export const severityWord = (severity) => lampWord(severity, LEVELS[severity] ?? "warn");

/**
 * @param {string} label
 * @param {string} nothing
 * @param {import("./table.js").Column[]} columns further ones
 */
export const alertTable = (label, nothing, columns) =>
  table(
    label,
    [
      {
        title: "Alert",
        cell: (row) => h("span", { title: row.description }, lampWord(row.rule, LEVELS[row.severity] ?? "warn")),
      },
      { title: "Severity", look: "medium", cell: (row) => row.severity },
      { title: "Of", cell: (row) => clientText(row.subject, 80) },
      { title: "Measured", look: "num medium", cell: (row) => measured(row.measure, row.value) },
      { title: "Threshold", look: "num medium", cell: (row) => measured(row.measure, row.threshold) },
      ...columns,
    ],
    nothing,
  );
