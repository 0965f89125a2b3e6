// The browser that the tests drive: BROWSER is "chromium" (which is meant when it is missing) or "firefox".

import { chromium, firefox } from "playwright-core";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--force-prefers-reduced-motion", // without a graphics card each frame is drawn by the processor
];
const PREFERENCES = { "ui.prefersReducedMotion": 1 };

export const BROWSER = process.env.BROWSER ?? "chromium";

/** Start it, Chromium with further `flags`. A Firefox as its makers publish it is driven over WebDriver BiDi, not with Playwright's own protocol. */
export const launch = (...flags) =>
  BROWSER === "firefox"
    ? firefox.launch({
        channel: "moz-firefox",
        executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
        firefoxUserPrefs: PREFERENCES,
      })
    : chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: [...FLAGS, ...flags] });

/** What goes wrong in `page` from here on is added to `errors`; but no application of a guide has an icon. */
export function watch(page, errors) {
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    const { url: place } = message.location();
    if (message.type() === "error" && !place.endsWith("/favicon.ico")) errors.push(message.text());
  });
}
