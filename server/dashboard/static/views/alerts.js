// Alerts, open and past, and the rules that raise them.

import { measured, measureOf } from "../lib/measures.js";
import { seconds, span, time } from "../lib/values.js";
import { alertTable, severityWord } from "../parts/alerts.js";
import { Block } from "../parts/block.js";
import { ask } from "../parts/dialog.js";
import { table } from "../parts/table.js";
import { lampWord } from "../parts/tiles.js";
import { h } from "../shared/lib/dom.js";

/** @typedef {import("../data/pages.js").Row} Row */
/** @typedef {import("../parts/page.js").Page} Page */

const PAST = 50;
export const ALERTS = "realtime.alerts";
/** @type {Record<string, string>} */
const CLEARED = { measure: "below the threshold", rule: "rule disabled", subject: "gone" };

/** @param {Page} page */
export function alerts(page) {
  page.heading("Alerts");
  open(page);
  rules(page);
  past(page);
}

/** @param {Page} page */
function open(page) {
  const block = page.add(new Block("Open"));
  const list = alertTable("Open alerts", "No alert is open.", [
    { title: "What to do", look: "wide prose", cell: (row) => row.description },
    { title: "Since", look: "num", cell: (row) => time(row.raisedAt) },
  ]);
  block.body.append(list.element);
  page.watch(block, openAlerts(page), (rows) => list.draw(rows));
}

/** The open ones as a live query, the latest first. */
export const OPEN_ALERTS = { where: [["clearedAt", "is-null"]], orderBy: [["id", "desc"]] };

/** @param {Page} page */
export const openAlerts = (page) =>
  page.rows(
    ALERTS,
    OPEN_ALERTS,
    async (signal) => (await page.api.get("/alerts", { open: true, limit: 100 }, signal)).alerts,
  );

/** @param {Page} page */
function past(page) {
  const block = page.add(new Block("History"));
  const list = alertTable("Past alerts", "No alert has been cleared yet.", [
    { title: "Raised", look: "num medium", cell: (row) => time(row.raisedAt) },
    { title: "Cleared", look: "num", cell: (row) => time(row.clearedAt) },
    { title: "Because", look: "wide", cell: (row) => CLEARED[row.clearedBecause] ?? row.clearedBecause },
  ]);
  const more = h("button.button.quiet-button", { type: "button", hidden: true, onclick: older }, "Load older");
  block.body.append(list.element, more);
  /** @type {Row[]} */
  let earlier = [];
  /** @type {string|null} */
  let next = null;
  /** @type {Row[]} */
  let latest = [];
  const latestFirst = { where: [["clearedAt", "is-not-null"]], orderBy: [["clearedAt", "desc"]], limit: 1 };
  page.watch(
    block,
    page.triggered(ALERTS, latestFirst, (signal) => page.api.get("/alerts", { open: false, limit: PAST }, signal)),
    (answer) => {
      latest = answer.alerts;
      if (!earlier.length) next = answer.next;
      draw();
    },
  );

  function draw() {
    const last = latest.at(-1)?.id ?? 0;
    list.draw([...latest, ...earlier.filter(({ id }) => id < last)]);
    more.hidden = next === null;
  }

  async function older() {
    try {
      const answer = await page.api.get("/alerts", { open: false, limit: PAST, after: next }, page.signal);
      earlier = [...earlier, ...answer.alerts];
      next = answer.next;
      draw();
    } catch (error) {
      block.failed(error);
    }
  }
}

/** @param {Page} page */
function rules(page) {
  const block = page.add(new Block("Rules"));
  const list = table(
    "Rules",
    [
      { title: "Rule", cell: (row) => h("span", { title: row.description }, row.name) },
      { title: "Raised when above", look: "medium", cell: (row) => measureOf(row.measure).title },
      { title: "Threshold", look: "num", cell: (row) => measured(row.measure, row.threshold) },
      { title: "Cleared at", look: "num wide", cell: (row) => measured(row.measure, row.clearAt ?? row.threshold) },
      { title: "For", look: "num wide", cell: (row) => span(seconds(row.hold)) },
      { title: "Severity", look: "medium", cell: (row) => severityWord(row.severity) },
      { title: "State", cell: (row) => (row.enabled ? lampWord("on", "good") : lampWord("off", "")) },
      {
        title: "Edit",
        look: "num act",
        hidden: true,
        cell: (row) =>
          h(
            "button.button.small",
            { type: "button", onclick: () => edit(page, row).then((done) => done && again()) },
            "Edit",
            h("span.hidden", {}, ` ${row.name}`),
          ),
      },
    ],
    "There are no rules.",
  );
  block.body.append(list.element);
  const again = page.watch(
    block,
    page.rows(
      "realtime.alert_rules",
      { orderBy: ["name"] },
      async (signal) => (await page.api.get("/alert-rules", {}, signal)).rules,
    ),
    (rows) => list.draw(rows),
  );
}

/** @param {Page} page @param {Row} row */
function edit(page, row) {
  const { title, unit } = measureOf(row.measure);
  const number = (/** @type {string} */ name, /** @type {any} */ value, more = {}) =>
    /** @type {HTMLInputElement} */ (
      h("input", { id: `rule-${name}`, type: "number", min: 0, step: "any", value, ...more })
    );
  const threshold = number("threshold", row.threshold, { required: true });
  const clearAt = number("clear-at", row.clearAt ?? "", { placeholder: "the threshold" });
  const hold = number("hold", seconds(row.hold), { max: 86_400, required: true });
  const severity = /** @type {HTMLSelectElement} */ (
    h(
      "select",
      { id: "rule-severity" },
      ...["info", "warning", "critical"].map((each) => h("option", { selected: each === row.severity }, each)),
    )
  );
  const enabled = /** @type {HTMLInputElement} */ (
    h("input", { id: "rule-enabled", type: "checkbox", checked: row.enabled })
  );
  const description = /** @type {HTMLTextAreaElement} */ (
    h("textarea", { id: "rule-description", rows: 3, maxlength: 1000 }, row.description ?? "")
  );
  const field = (/** @type {string} */ label, /** @type {HTMLElement} */ control) =>
    h("p.field", {}, h("label", { for: control.id }, label), control);
  return ask({
    title: `Rule ${row.name}`,
    text: [
      h("p.quiet", {}, `Measured: ${title}.`),
      field(`Threshold (${unit})`, threshold),
      field(`Cleared when not above (${unit})`, clearAt),
      field("Above for at least (seconds)", hold),
      field("Severity", severity),
      h("p.field.check", {}, enabled, h("label", { for: enabled.id }, "Enabled")),
      field("What to do", description),
    ],
    action: "Save",
    run: async () => {
      await page.api.send("PATCH", `/alert-rules/${encodeURIComponent(row.name)}`, {
        threshold: threshold.valueAsNumber,
        clearAt: clearAt.value === "" ? null : clearAt.valueAsNumber,
        hold: hold.valueAsNumber,
        severity: severity.value,
        enabled: enabled.checked,
        description: description.value.trim() || null,
      });
      page.announce(`The rule ${row.name} is saved.`);
    },
  });
}
