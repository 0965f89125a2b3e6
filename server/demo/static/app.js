// Wires the page together. What each part does is in its own file.

import { startBoard } from "./views/board.js";
import { startChat } from "./views/chat.js";
import { startConsole } from "./views/console.js";
import { Database } from "./data/database.js";
import { byId, setText } from "./shared/lib/dom.js";
import { startHeader } from "./views/header.js";
import { Latency } from "./data/latency.js";
import { Live } from "./shared/data/live.js";
import { startSales } from "./views/sales.js";
import { startTips } from "./shared/parts/tips.js";
import { startViews } from "./views/tabs.js";
import { whoAmI } from "./data/who.js";

const latency = new Latency();
const database = new Database(latency);
const live = new Live(
  `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/realtime?user=${encodeURIComponent(whoAmI().id)}`,
);

startTips();
startHeader({ live, latency });
const { room } = startBoard({ live, database, latency });
startChat({ live, latency });
startSales({ live, latency });
startConsole({ database, room });
startViews({ live });
showAddress();

/** How to reach the same database from a terminal. */
async function showAddress() {
  const response = await fetch("/demo/about");
  if (!response.ok) return;
  const { dsn } = await response.json();
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
