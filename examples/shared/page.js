// What the examples share: signing in, calls to the back end, and elements whose text is always text.

import { Realtime, url } from "/realtime.js";

const SESSION = "examples-session"; // of this tab alone, so that two tabs can be two users

/** `h("button", { type: "button", onclick: run }, "Run")`: names with "on" are listeners, the rest attributes. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child != null && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** What went wrong, in the page's alert; no text takes the last one away. */
export function problem(text = "") {
  byId("problem").textContent = text;
}

async function post(path, body = {}) {
  const session = JSON.parse(sessionStorage.getItem(SESSION) ?? "null")?.session;
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...(session && { Authorization: `Bearer ${session}` }) },
    body: JSON.stringify(body),
  });
  if (response.status === 401) {
    sessionStorage.removeItem(SESSION);
    location.reload();
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

/** A function that calls the functions of `schema`: its result, or null and an alert if it was refused. */
export const caller = (schema) => async (name, args) => {
  problem();
  try {
    return await post(`/call/${schema}/${name}`, args);
  } catch (error) {
    problem(error.message);
    return null;
  }
};

/** Resolves to the user and its connection when the user has signed in; `main` is shown from then on. */
export async function enter() {
  const stored = sessionStorage.getItem(SESSION);
  const { user } = stored ? JSON.parse(stored) : await askName();
  const realtime = new Realtime({ url, getToken: async () => (await post("/token")).token });
  realtime.on("status", ({ state }) => show(state));
  realtime.on("error", (error) => problem(error.message));
  show(realtime.status.state);
  byId("who").textContent = user;
  byId("sign-in").hidden = true;
  byId("main").hidden = false;
  return { user, realtime };
}

function askName() {
  const form = byId("sign-in");
  form.hidden = false;
  form.elements.name.focus();
  return new Promise((resolve) => {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      problem();
      try {
        const session = await post("/sign-in", { name: form.elements.name.value });
        sessionStorage.setItem(SESSION, JSON.stringify(session));
        resolve(session);
      } catch (error) {
        problem(error.message);
      }
    });
  });
}

const STATES = { connecting: "Connecting…", open: "Connected", offline: "Offline, trying again…" };

function show(state) {
  byId("connection").textContent = STATES[state] ?? `Connection: ${state}`;
  byId("connection").dataset.state = state;
}

/** "14:03", in the visitor's time zone. */
export const clock = (text) => new Date(text).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
