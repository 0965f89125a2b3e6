// Wires the page together: signing in and out, which view is shown, whether the server answers.

import { Api, Problem } from "./data/api.js";
import { Feed } from "./data/feed.js";
import { poll } from "./data/poll.js";
import { route } from "./lib/route.js";
import { Page } from "./parts/page.js";
import { byId, h, setText } from "./shared/lib/dom.js";
import { startTips } from "./shared/parts/tips.js";
import { ALERTS, alerts, OPEN_ALERTS } from "./views/alerts.js";
import { analytics } from "./views/analytics.js";
import { channel, channels } from "./views/channels.js";
import { connection, connections } from "./views/connections.js";
import { overview } from "./views/overview.js";
import { queries, query } from "./views/queries.js";
import { signIn, START } from "./views/sign-in.js";
import { slots } from "./views/slots.js";

/** @typedef {(page: Page) => void} View */
/** A view, and that of one of its rows. @type {Record<string, {all: View, one?: View}>} */
const VIEWS = {
  overview: { all: overview },
  connections: { all: connections, one: connection },
  channels: { all: channels, one: channel },
  queries: { all: queries, one: query },
  slots: { all: slots },
  alerts: { all: alerts },
  analytics: { all: analytics },
};
const ANNOUNCED = 6_000;
const COUNTING = 10_000;
const COUNTED = 100;

const api = new Api();
const feed = new Feed();
/** @type {Page|null} */
let page = null;
let counting = new AbortController();

startTips();
showState();
api.addEventListener("state", showState);
feed.addEventListener("state", showState);
api.addEventListener("refused", (event) => {
  if (document.body.dataset.state === "in") leave(/** @type {CustomEvent} */ (event).detail.message);
});
addEventListener("hashchange", () => document.body.dataset.state === "in" && show());
byId("sign-out").addEventListener("click", () => {
  api.use(null);
  leave(null);
});
byId("skip").addEventListener("click", (/** @type {Event} */ event) => {
  event.preventDefault(); // "#main" would be an address of no view
  byId("main").focus();
});
start();

/** In with the key of this tab, or without one where this machine needs none. Waits for a server that is away. */
async function start() {
  const attempt = new AbortController();
  const keyed = api.keyed;
  poll(
    async () => {
      const refusal = await tried();
      attempt.abort();
      if (refusal === null) enter();
      else leave(keyed ? refusal : null);
    },
    1_000,
    attempt.signal,
  );
}

/** Why the server wants another key; null: it does not. */
async function tried() {
  try {
    await api.get("/nodes");
    return null;
  } catch (error) {
    if (error instanceof Problem) return error.message;
    throw error;
  }
}

function enter() {
  document.body.dataset.state = "in";
  byId("pages").hidden = false;
  byId("sign-out").hidden = !api.keyed;
  if (!Object.hasOwn(VIEWS, route().name)) history.replaceState(null, "", START);
  counting = new AbortController();
  feed.open(api.key);
  const followed = feed.follow(
    ALERTS,
    { query: OPEN_ALERTS, longest: COUNTED, changed: () => recount() },
    counting.signal,
  );
  const recount = poll((signal) => countAlerts(followed, signal), COUNTING, counting.signal);
  show();
}

/** @param {string|null} why */
function leave(why) {
  page?.leave();
  page = null;
  counting.abort();
  feed.close();
  document.body.dataset.state = "out";
  byId("pages").hidden = true;
  byId("sign-out").hidden = true;
  signIn(byId("main"), {
    why,
    enter: async (key) => {
      api.use(key);
      try {
        const refusal = await tried();
        if (refusal !== null) api.use(null);
        else enter();
        return refusal;
      } catch (error) {
        api.use(null);
        return error instanceof Error ? error.message : String(error);
      }
    },
  });
}

function show() {
  const asked = route();
  const view = Object.hasOwn(VIEWS, asked.name) ? VIEWS[asked.name] : VIEWS.overview;
  const first = page === null;
  page?.leave();
  const root = byId("main");
  root.replaceChildren();
  root.scrollTop = 0;
  page = new Page(root, api, feed, asked, announce);
  for (const link of byId("pages").querySelectorAll("a")) {
    if (link.hash === `#/${asked.name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  showCurrent();
  (asked.subject !== null && view.one ? view.one : view.all)(page);
  if (!first) root.querySelector("h1")?.focus({ preventScroll: true });
}

/** Where the pages do not fit beside each other, the current one is in sight. */
function showCurrent() {
  byId("pages").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
}

/** @param {import("./data/feed.js").Followed} followed @param {AbortSignal} signal */
async function countAlerts(followed, signal) {
  try {
    const rows = (await followed.rows()) ?? (await api.get("/alerts", { open: true, limit: COUNTED }, signal)).alerts;
    const badge = byId("open-alerts");
    const moved = badge.hidden !== (rows.length === 0);
    badge.hidden = rows.length === 0;
    badge.replaceChildren(String(rows.length), h("span.hidden", {}, " open"));
    if (moved) showCurrent();
  } catch (error) {
    if (!(error instanceof Problem) && !signal.aborted) throw error;
  }
}

function showState() {
  const box = byId("connection");
  const state = feed.on ? "connected" : api.state;
  box.dataset.state = state;
  document.documentElement.dataset.connection = state;
  box.dataset.live = String(feed.on);
  const connected = feed.on ? "Live" : "Every 2 s";
  const words = { connecting: "Connecting", connected, waiting: "No answer, trying again" };
  setText(/** @type {Element} */ (box.querySelector("[data-text]")), words[state]);
}

/** @type {ReturnType<typeof setTimeout>|undefined} */
let announced;
/** @param {string} text */
function announce(text) {
  const box = byId("announcement");
  clearTimeout(announced);
  setText(box, text);
  box.classList.remove("hidden");
  announced = setTimeout(() => {
    setText(box, "");
    box.classList.add("hidden");
  }, ANNOUNCED);
}
