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
];

export const BROWSER = process.env.BROWSER ?? "chromium";

/** Start it, Chromium with further `flags`. A Firefox as its makers publish it is driven over WebDriver BiDi, not with Playwright's own protocol. */
export const launch = (...flags) =>
  BROWSER === "firefox"
    ? firefox.launch({ channel: "moz-firefox", executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr" })
    : chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: [...FLAGS, ...flags] });
