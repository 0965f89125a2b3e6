// Web Push: notifications of this browser that come also when no page is open.

import { askForDesktop, desktopState } from "../shared/desktop.js";
import { postToBackEnd } from "../shared/session.js";

const WORKER = "/feed/service-worker.js";

/** Why there is none in this browser, in words for users; empty if there is. @returns {string} */
export function lacking() {
  if (desktopState() === "unsupported") return "This browser has no notifications.";
  if (desktopState() === "denied") {
    return "This browser blocks notifications of this page. Its settings for this site allow them again.";
  }
  if (!navigator.serviceWorker || !("PushManager" in globalThis)) {
    return "This browser notifies you only while the page is open.";
  }
  return "";
}

/** Let the service worker know whose page this is. @param {string} user */
export function answerWorker(user) {
  navigator.serviceWorker?.addEventListener("message", ({ data, ports }) => ports[0]?.postMessage(data?.user === user));
}

/** Whether this browser is notified for this user. @returns {Promise<boolean>} */
export async function isOn() {
  if (lacking() || desktopState() !== "granted") return false;
  const registration = await navigator.serviceWorker.getRegistration(WORKER);
  const subscription = await registration?.pushManager.getSubscription();
  return subscription ? (await postToBackEnd("/push/state", { endpoint: subscription.endpoint })).mine : false;
}

/**
 * Ask the user, and subscribe. To be called by a press. Rejects with the reason, in words for users, if that is not possible.
 * @returns {Promise<void>}
 */
export async function turnOn() {
  if (lacking()) throw new Error(lacking());
  if ((await askForDesktop()) !== "granted") {
    throw new Error(lacking() || "You have not allowed notifications.");
  }
  const { key } = await postToBackEnd("/push/state");
  await register();
  const { pushManager } = await navigator.serviceWorker.ready;
  await (await pushManager.getSubscription())?.unsubscribe(); // perhaps for a former key
  let subscription;
  try {
    subscription = await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  } catch (error) {
    const reason = "You are notified only while the page is open: the push service cannot be reached";
    throw new Error(`${reason} (${error.message}).`, { cause: error });
  }
  await postToBackEnd("/push/subscribe", subscription.toJSON());
}

/** End it. @returns {Promise<void>} */
export async function turnOff() {
  const registration = await navigator.serviceWorker.getRegistration(WORKER);
  const subscription = await registration?.pushManager.getSubscription();
  if (!subscription) return;
  await postToBackEnd("/push/unsubscribe", { endpoint: subscription.endpoint });
  await subscription.unsubscribe();
}

/** The page's policy has one kind of address of scripts: that of the service worker. */
let policy;
function register() {
  const createScriptURL = (address) => {
    if (address !== WORKER) throw new TypeError(address);
    return address;
  };
  policy ??= globalThis.trustedTypes?.createPolicy("service-worker", { createScriptURL });
  return navigator.serviceWorker.register(policy ? policy.createScriptURL(WORKER) : WORKER);
}
