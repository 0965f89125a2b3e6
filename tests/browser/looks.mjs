// What can be checked about looks without eyes: nothing overflows, text has contrast, controls have names and fit fingers, axe finds nothing.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

export const SIZES = [
  { name: "phone", viewport: { width: 360, height: 780 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 },
  { name: "tablet", viewport: { width: 768, height: 1024 }, hasTouch: true },
  { name: "desktop", viewport: { width: 1440, height: 900 } },
];

/** The page does not scroll sideways and no control sticks out of the window. */
export async function fits(page) {
  const wide = await page.evaluate(() => {
    const bad = [...document.querySelectorAll("button, input, select, textarea, h1, h2, h3, dd, .message")]
      .filter((element) => element.checkVisibility() && !element.closest(".chips, .table-scroll, pre"))
      .filter((element) => element.getBoundingClientRect().right > innerWidth + 0.5)
      .map((element) => element.outerHTML.slice(0, 80));
    return document.documentElement.scrollWidth > innerWidth ? ["the page itself", ...bad] : bad;
  });
  assert.deepEqual(wide, []);
}

/** Every visible text has the contrast WCAG AA asks for: 4.5:1, or 3:1 when it is large. */
export async function hasContrast(page) {
  const weak = await page.evaluate(() => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", {
      willReadFrequently: true,
    });
    const rgb = (colour) => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      return canvas.getImageData(0, 0, 1, 1).data;
    };
    const luminance = ([r, g, b]) =>
      [r, g, b]
        .map((c) => c / 255)
        .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (element) => {
      for (let at = element; at; at = at.parentElement) {
        const colour = rgb(getComputedStyle(at).backgroundColor);
        if (colour[3] === 255) return colour;
      }
      return rgb("white");
    };
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement;
      if (
        !walker.currentNode.data.trim() ||
        !element.checkVisibility({ opacityProperty: true }) ||
        element.closest(".hidden, option, script, [aria-hidden]")
      )
        continue;
      const style = getComputedStyle(element);
      const [a, b] = [
        luminance(rgb(element instanceof SVGElement ? style.fill : style.color)),
        luminance(behind(element)),
      ];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      const size = parseFloat(style.fontSize);
      if (ratio < (size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5))
        found.push(`${ratio.toFixed(2)} ${walker.currentNode.data.trim().slice(0, 40)}`);
    }
    return [...new Set(found)];
  });
  assert.deepEqual(weak, []);
}

/** Controls have names, and are at least 24 by 24 pixels or keep that distance (WCAG 2.2, target size). */
export async function hasUsableControls(page) {
  const bad = await page.evaluate(() =>
    [...document.querySelectorAll("button, select, input:not([type=radio]), textarea")]
      .filter((element) => element.checkVisibility())
      .flatMap((element) => {
        const name =
          element.getAttribute("aria-label") || element.textContent.trim() || element.labels?.[0]?.textContent.trim();
        const { width, height } = element.getBoundingClientRect();
        const reach = parseFloat(getComputedStyle(element, "::after").inset) || 0;
        const small = Math.min(width, height) - 2 * reach < 24 && !element.matches(".badge");
        return [
          name ? [] : `no name: ${element.outerHTML.slice(0, 80)}`,
          small ? `small: ${element.outerHTML.slice(0, 80)}` : [],
        ].flat();
      }),
  );
  assert.deepEqual(bad, []);
}

/** What axe finds in the page: by all its rules for WCAG, and by what is good practice beyond it, if `strict`; or by these `rules`. */
export async function violations(page, { rules, strict = true } = {}) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(AXE); // past the policy of the page
  const tags = strict ? [...RULES, "best-practice"] : RULES;
  const { violations, passes } = await page.evaluate(
    (runOnly) => window.axe.run(document, { runOnly, resultTypes: ["violations"], selectors: false }),
    rules ? { type: "rule", values: rules } : { type: "tag", values: tags },
  );
  assert.ok(passes.length, "axe has looked at nothing");
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, any }) => `${id}: ${html.slice(0, 160)} ${any.map(({ message }) => message)}`),
  );
}
