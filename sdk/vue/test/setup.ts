/** Gives Vue a browser's objects before it is loaded. */

import { Window } from "happy-dom";

const page = new Window();
const { document, Element, HTMLElement, Node, SVGElement, Text, Comment, Event } = page;
Object.assign(globalThis, { window: page, document, Element, HTMLElement, Node, SVGElement, Text, Comment, Event });
