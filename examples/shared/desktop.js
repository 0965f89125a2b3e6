// Notifications of the desktop, for pages that their user does not look at.

/** Whether the user has been asked: `default`, `granted` or `denied`; `unsupported` by this browser. @returns {string} */
export const desktopState = () => globalThis.Notification?.permission ?? "unsupported";

/** Ask the user; resolves to the state then. To be called by a press. @returns {Promise<string>} */
export const askForDesktop = async () => globalThis.Notification.requestPermission();

/** Notify the user, if that is allowed and the page is not looked at. @param {string} title @param {string} body */
export function notify(title, body) {
  if (document.hidden && desktopState() === "granted") new globalThis.Notification(title, { body });
}
