// Notifications and activity feed. The user's own rows come by row-level security: the queries below name no user.

import { byId, caller, clock, enter, h, problem } from "/shared/page.js";

const call = caller("feed");
const { user, realtime } = await enter();
const database = realtime.database();
const failed = (error) => problem(error.message);

database
  .collection("posts")
  .orderBy("createdAt", "desc")
  .limit(30)
  .onSnapshot(({ docs }) => {
    const items = docs.map((doc) => {
      const { author, body, createdAt } = doc.data();
      return h("li", {}, h("p", { class: "quiet" }, h("b", {}, author), ` ${clock(createdAt)}`), h("p", {}, body));
    });
    byId("posts").replaceChildren(...items);
  }, failed);

const inbox = database.collection("notifications");

inbox
  .orderBy("id", "desc")
  .limit(20)
  .onSnapshot(({ docs }) => {
    const items = docs.map((doc) => {
      const { id, actor, body, readAt } = doc.data();
      const read = h(
        "button",
        { type: "button", class: "small", onclick: () => call("mark_read", { id }) },
        "Mark as read",
      );
      return h(
        "li",
        { class: readAt ? "" : "unread" },
        h("b", {}, `${actor} mentioned you`),
        h("p", {}, body),
        !readAt && read,
      );
    });
    byId("inbox").replaceChildren(...(items.length ? items : [h("li", { class: "quiet" }, "Nothing yet")]));
  }, failed);

inbox.sql("select count(*)::int as unread from feed.notifications where read_at is null").onSnapshot(({ docs }) => {
  const { unread } = docs[0].data();
  byId("unread").textContent = `${unread} unread`;
  document.title = unread ? `(${unread}) Notifications` : "Notifications";
}, failed);

byId("all").onclick = () => call("mark_all_read");

byId("post").addEventListener("submit", async (event) => {
  event.preventDefault();
  const input = byId("body");
  const body = input.value.trim();
  if (!body) return;
  input.value = ""; // at once: what is typed next is another post
  const done = await call("post", { id: crypto.randomUUID(), body });
  if (!done) input.value ||= body;
});

// A push: what the trigger publishes in the transaction that wrote the row, for this user alone.
const own = realtime.channel(`private:user-${user}`);
own.on("mention", ({ data }) => {
  byId("push").textContent = `New: ${data.actor} mentioned you`;
});
own.on("error", failed);
await own.subscribe().catch(failed);

const announcements = realtime.channel("public:announcements", { history: 1 });
announcements.on("announcement", ({ data }) => {
  byId("announcement").textContent = data.text;
});
announcements.on("error", failed);
await announcements.subscribe().catch(failed);
