// The session of a user with the back end, which each tab has to itself, and calls in it.

import { url as address } from "/address.js"; // the back end makes this module

/** Of the realtime server. @type {string} */
export const url = address;

/** @typedef {{ session: string, user: string }} Session */

const KEY = "examples-session"; // of this tab alone, so that two tabs can be two users
const REPEATS = 10; // of a request that the back end asks for again

/** The session of this tab, if its user has signed in. @returns {Session | null} */
export const currentSession = () => JSON.parse(sessionStorage.getItem(KEY) ?? "null");

/** Sign in. Rejects with the reason if the name is refused. @param {string} name @returns {Promise<Session>} */
export async function signIn(name) {
  const session = await post("/sign-in", { name });
  sessionStorage.setItem(KEY, JSON.stringify(session));
  return session;
}

/** What the SDK asks for before it connects, and before a token expires. @returns {Promise<string>} */
export const getToken = async () => (await post("/token")).token;

/**
 * Run a function of an example's schema in the user's name. Rejects with the reason if it is refused.
 * @param {string} schema @param {string} name @param {object} [args] @returns {Promise<{ result: any, position: string }>}
 */
export const callBackEnd = (schema, name, args) => post(`/call/${schema}/${name}`, args);

/**
 * Ask another address of the back end in the user's name. Rejects with the reason if it refuses.
 * @param {string} path @param {object} [body] @returns {Promise<any>}
 */
export const postToBackEnd = (path, body) => post(path, body);

async function post(path, body = {}) {
  const session = currentSession()?.session;
  const ask = () =>
    fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...(session && { Authorization: `Bearer ${session}` }) },
      body: JSON.stringify(body),
    });
  let response = await ask();
  for (let left = REPEATS; left && response.headers.has("Retry-After"); left--) {
    await new Promise((resolve) => setTimeout(resolve, 1000 * Number(response.headers.get("Retry-After"))));
    response = await ask(); // nothing was done
  }
  if (response.status === 401) {
    sessionStorage.removeItem(KEY); // of a back end that has been started again since
    location.reload();
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

/** The states of a connection, in words for users. @type {Record<string, string>} */
export const STATES = { connecting: "Connecting…", open: "Connected", offline: "Offline, trying again…" };

/** "14:03", in the visitor's time zone. @param {string} text */
export const clock = (text) => new Date(text).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
