// What the examples share: signing in, calls to the back end, and elements whose text is always text.

import { Realtime } from "/realtime.js";
import { callBackEnd, currentSession, getToken, signIn, STATES, url } from "./session.js";

export { clock } from "./session.js";

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

/** A function that calls the functions of `schema`: its result, or null and an alert if it was refused. */
export const caller = (schema) => async (name, args) => {
  problem();
  try {
    return await callBackEnd(schema, name, args);
  } catch (error) {
    problem(error.message);
    return null;
  }
};

/** Resolves to the user and its connection when the user has signed in; `main` is shown from then on. */
export async function enter() {
  const { user } = currentSession() ?? (await askName());
  const realtime = new Realtime({ url, getToken });
  realtime.on("status", ({ state }) => show(state));
  realtime.on("error", (error) => problem(error.message));
  show(realtime.status.state);
  byId("who").textContent = user;
  byId("sign-in").parentElement.hidden = true;
  byId("main").hidden = false;
  return { user, realtime };
}

function askName() {
  const form = byId("sign-in");
  form.parentElement.hidden = false;
  form.elements.name.focus();
  return new Promise((resolve) => {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      problem();
      try {
        resolve(await signIn(form.elements.name.value));
      } catch (error) {
        problem(error.message);
      }
    });
  });
}

function show(state) {
  byId("connection").textContent = STATES[state] ?? `Connection: ${state}`;
  byId("connection").dataset.state = state;
}
