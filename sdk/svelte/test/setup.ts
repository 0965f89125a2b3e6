/** Gives Svelte a browser's objects before it is loaded. */

import { Window } from "happy-dom";

const page = new Window();
const { document, navigator, Element, HTMLElement, HTMLMediaElement, Node, Text, Comment, Event, DocumentFragment } =
  page;
Object.assign(globalThis, {
  window: page,
  document,
  Element,
  HTMLElement,
  HTMLMediaElement,
  Node,
  Text,
  Comment,
  Event,
});
Object.assign(globalThis, { DocumentFragment });
Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true });
