// The service worker of the feed: it shows what the back end pushes, also when no page is open, and opens the page when a
// notification is pressed. All that comes is text, and is shown as text.

/** The pages of `user` in this browser: each is asked, because tabs can be of different users. */
async function pagesOf(user) {
  const pages = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const theirs = await Promise.all(pages.map((page) => isOf(page, user)));
  return pages.filter((_, index) => theirs[index]);
}

const isOf = (page, user) =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }) => resolve(data === true);
    setTimeout(() => resolve(false), 500); // a page without the feed does not answer
    page.postMessage({ user }, [port2]);
  });

/** What was pushed, as the back end makes it. */
function read(data) {
  try {
    const { id, user, title, body } = data.json();
    return { id: String(id), user: String(user), title: String(title), body: String(body) };
  } catch {
    return { id: "", user: "", title: "Notifications", body: "There is something new." };
  }
}

/** The user is notified once: not here while a page of that user is looked at, which shows it itself. */
async function show(data) {
  const { id, user, title, body } = read(data);
  const pages = await pagesOf(user);
  if (pages.some((page) => page.visibilityState === "visible")) return;
  await self.registration.showNotification(title, { body, tag: `notification-${id}`, data: { user } });
}

async function open(user) {
  const [page] = await pagesOf(user);
  await (page ? page.focus() : self.clients.openWindow("/feed/"));
}

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("push", (event) => event.waitUntil(show(event.data)));
self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open(event.notification.data?.user));
});
