/** A page in memory: a component is mounted in it, with a client whose server is in memory, too. */

import assert from "node:assert/strict";
import { createApp, createSSRApp, nextTick, type App, type Component } from "vue";
import { RealtimePlugin } from "../src/index.js";
import { FakeServer, flush } from "../../js/test/fake_server.js";

/** An application of one component. `text`: what it shows; `warnings`: those of Vue. */
export class Page {
  readonly server: FakeServer;
  readonly element = document.createElement("div");
  readonly warnings: string[] = [];
  readonly app: App;

  /** `html`: what a server has rendered of it. */
  constructor(component: Component, { server = new FakeServer(), html = "" } = {}) {
    this.server = server;
    this.app = html ? createSSRApp(component) : createApp(component);
    this.app.config.warnHandler = (message) => this.warnings.push(message);
    this.app.use(RealtimePlugin, server.realtime);
    this.element.innerHTML = html;
    this.app.mount(this.element);
  }

  /** Let something happen, and the components show it. */
  async after(happens: () => void = () => {}): Promise<void> {
    happens();
    await flush();
    await nextTick();
  }

  get text(): string {
    return this.element.textContent ?? "";
  }

  close(): void {
    this.app.unmount();
    assert.deepEqual(this.warnings, []);
  }
}
