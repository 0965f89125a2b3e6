/** A page in memory: components are mounted in it, with a client whose server is in memory, too. */

import { flushSync, hydrate, mount, tick, unmount, type Component } from "svelte";
import Root from "./components/Root.svelte";
import { FakeServer, flush } from "../../js/test/fake_server.js";

/** Components under one that has the client. `text`: what they show. */
export class Page {
  readonly server: FakeServer;
  readonly element = document.createElement("div");
  private root: object;

  /** `html`: what a server has rendered of it. */
  constructor(component: Component<any>, props: object = {}, { server = new FakeServer(), html = "" } = {}) {
    this.server = server;
    this.element.innerHTML = html;
    const begin = html ? hydrate : mount;
    this.root = begin(Root, { target: this.element, props: { client: server.realtime, component, props } });
    flushSync();
  }

  /** Let something happen, and the components show it. */
  async after(happens: () => void = () => {}): Promise<void> {
    happens();
    await flush();
    await tick();
  }

  get text(): string {
    return this.element.textContent ?? "";
  }

  async close(): Promise<void> {
    await unmount(this.root);
  }
}
