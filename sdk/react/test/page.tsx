/** A page in memory: components are mounted in it, with a client whose server is in memory, too. */

import { Window } from "happy-dom";
import { act, StrictMode, type ReactNode } from "react";
import { createRoot, type Root } from "react-dom/client";
import { RealtimeProvider } from "../src/index.js";
import { FakeServer, flush } from "../../js/test/fake_server.js";

const page = new Window();
Object.assign(globalThis, { window: page, document: page.document, IS_REACT_ACT_ENVIRONMENT: true });

/** Components under a provider. `text`: what they show. */
export class Page {
    readonly server = new FakeServer();
    readonly element = document.createElement("div");
    private root: Root = createRoot(this.element);

    constructor(private strict = false) {}

    show(content: ReactNode): void {
        const provided = <RealtimeProvider client={this.server.realtime}>{content}</RealtimeProvider>;
        act(() => this.root.render(this.strict ? <StrictMode>{provided}</StrictMode> : provided));
    }

    /** Let the server do something, and the components show it. */
    async after(happens: () => void): Promise<void> {
        await act(async () => {
            happens();
            await flush();
        });
    }

    get text(): string {
        return this.element.textContent ?? "";
    }

    close(): void {
        act(() => this.root.unmount());
    }
}
