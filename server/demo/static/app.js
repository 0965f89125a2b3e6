// Wires the page together. What each part does is in its own file.

import { Realtime } from "/realtime/sdk.js";
import { startBoard } from "./views/board.js";
import { startChat } from "./views/chat.js";
import { startConsole } from "./views/console.js";
import { Database } from "./data/database.js";
import { byId, setText } from "./shared/lib/dom.js";
import { Feed } from "./data/feed.js";
import { startHeader } from "./views/header.js";
import { Latency } from "./data/latency.js";
import { startSales } from "./views/sales.js";
import { startTips } from "./shared/parts/tips.js";
import { startViews } from "./views/tabs.js";
import { whoAmI } from "./data/who.js";

const realtime = new Realtime({
  url: `${location.origin}/realtime`, // given, so that a server which starts slowly is no warning about a guess
  user: whoAmI().id,
  maxReconnectDelay: 10_000,
});
const feed = new Feed();
const latency = new Latency(feed);
const database = new Database(latency);

startTips();
startHeader({ realtime, feed, latency });
const { room } = startBoard({ realtime, feed, database });
startChat({ realtime, feed });
startSales({ realtime, feed });
startConsole({ database, room });
startViews({ feed });
showAddresses();

/** How to reach the same database from a terminal, and where the repository is, if that has a public address. */
async function showAddresses() {
  const response = await fetch("/demo/about");
  if (!response.ok) return;
  const { dsn, repository } = await response.json();
  if (repository) {
    byId("repository").href = repository;
    byId("repository").hidden = false;
  }
  setText(byId("psql"), `psql '${dsn}'`);
  byId("elsewhere").hidden = false;
  byId("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(byId("psql").textContent);
      setText(byId("copy"), "Copied");
    } catch {
      getSelection()?.selectAllChildren(byId("psql")); // no permission, or not a secure origin: ready for Ctrl+C
    }
  });
}
