// A Yjs document over a channel. Yjs merges whatever it is given, in any order and more than once; so all that is done here is to
// see that each update gets to the server, and that each one of the server gets here.
//
// Joining: subscribe, load the merged state, then the messages since. Coming back: what was missed comes by itself, and the state
// only if it has been merged beyond that. Edits are kept in the browser, too: those of an offline page are sent when it is back.

import { fromBase64, toBase64 } from "lib0/buffer";
import { IndexeddbPersistence } from "y-indexeddb";
import * as Y from "yjs";

const MAX_MESSAGE = 90_000; // characters of base64; the server takes 128 KB of JSON. What is larger goes by way of the back end
const RETRY = 3000; // milliseconds
const REMOTE = "remote";

const PARTS = [16, 16, 10];
/** Positions are compared part by part, as numbers. */
function isAfter(a, b) {
  const [x, y] = [a, b].map((position) => position.split("/").map((part, i) => parseInt(part, PARTS[i])));
  const i = x.findIndex((part, place) => part !== y[place]);
  return i >= 0 && x[i] > y[i];
}

export class SharedDocument {
  doc = new Y.Doc();
  text = this.doc.getText("text");
  /** What the server has, as far as this page knows. */
  #server = new Y.Doc();
  #joined = false;
  #position = null; // of the newest message
  #unsent = [];
  #sending = false;
  #editable = false;
  #closed = false;
  #timer;
  #channel;
  #store;
  #id;
  #call;
  #on;

  /**
   * `call` calls the back end. `on`: `saved(whether)`, `refused()` when the server took no edit of this user, `failed(error)`.
   * `user`: whose edits the browser keeps under this name.
   */
  constructor({ realtime, call, user, id, on }) {
    [this.#id, this.#call, this.#on] = [id, call, on];
    this.#store = new IndexeddbPersistence(`notes:${user}:${id}`, this.doc);
    this.#channel = realtime.channel(`notes:${id}`);
    this.doc.on("update", (update, origin) => {
      if (origin !== REMOTE && origin !== this.#store) this.#send(update);
    });
  }

  /** Resolves when the document is that of the server and of this browser. */
  async open() {
    await this.#store.whenSynced;
    const channel = this.#channel;
    channel.on("update", ({ data, position }) => {
      this.#apply(data?.update);
      this.#position = position;
    });
    channel.on("merged", ({ position }) => {
      this.#position = position;
      this.#load(null);
    });
    channel.on("gap", () => {
      this.#joined = false; // as if it came anew
      this.#position = null;
    });
    const opened = new Promise((resolve) => {
      channel.on("subscribed", () =>
        this.#load(this.#joined ? this.#position : null, !this.#joined).then(resolve, this.#on.failed),
      );
    });
    channel.on("error", this.#on.failed);
    await channel.subscribe();
    await opened;
  }

  /** Whether this user may edit. The server's rule decides; this is so that nothing is sent in vain. */
  set editable(may) {
    this.#editable = may;
    if (this.#joined) this.#sendMissing();
  }

  /** Leave the document; `forget`: and what this browser has kept of it. */
  async close({ forget = false } = {}) {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const event of ["update", "merged", "gap", "subscribed", "error"]) this.#channel.off(event);
    await this.#channel.unsubscribe();
    await (forget ? this.#store.clearData() : this.#store.destroy());
    this.doc.destroy();
    this.#server.destroy();
  }

  /** Load the merged state if it has more than `position`; `since`: and the messages after it. */
  async #load(position, since = false) {
    const answer = await this.#call("open", { document: this.#id, position });
    if (this.#closed) return;
    if (!answer) return void this.#again(() => this.#load(position, since)); // what was wrong is shown already
    const { state, position: merged } = answer.result;
    if (state) this.#apply(state);
    if (since) await this.#loadSince(merged);
    if (this.#closed) return;
    this.#joined = true;
    this.#sendMissing();
  }

  async #loadSince(merged) {
    let page = { before: null };
    do {
      page = await this.#channel.history({ limit: 100, ...(page.before && { before: page.before }) });
      for (const { event, data, position } of page.messages) {
        if (event === "update" && isAfter(position, merged)) this.#apply(data?.update);
        if (!this.#position || isAfter(position, this.#position)) this.#position = position;
      }
    } while (page.before && isAfter(page.messages[0]?.position ?? merged, merged));
    this.#position ??= merged;
  }

  /** An update of the server. What is none, of a client that is none of ours, is skipped, as the back end does. */
  #apply(update) {
    try {
      const bytes = fromBase64(update);
      Y.applyUpdate(this.doc, bytes, REMOTE);
      Y.applyUpdate(this.#server, bytes);
    } catch (error) {
      console.info("An update was skipped:", error.message);
    }
  }

  /** What this browser has kept and the server lacks: of a page that was offline when it was closed, or whose request failed. */
  #sendMissing() {
    if (this.#sending || this.#unsent.length) return;
    if (Y.equalSnapshots(Y.snapshot(this.doc), Y.snapshot(this.#server))) this.#on.saved(true);
    else if (!this.#editable) this.#on.refused();
    else this.#send(Y.encodeStateAsUpdate(this.doc, Y.encodeStateVector(this.#server)));
  }

  #send(update) {
    this.#unsent.push(update);
    this.#on.saved(false);
    if (!this.#sending) this.#sendAll();
  }

  /** One message at a time: what is typed meanwhile, and without a connection, is the next one. */
  async #sendAll() {
    this.#sending = true;
    try {
      while (this.#unsent.length && !this.#closed) {
        const update = Y.mergeUpdates(this.#unsent.splice(0));
        await this.#deliver(toBase64(update));
        Y.applyUpdate(this.#server, update);
      }
      if (!this.#closed) this.#on.saved(true);
    } catch (error) {
      this.#unsent = []; // #sendMissing finds it again
      if (this.#closed) return;
      if (error.code === "RT_003") this.#on.refused();
      else {
        this.#on.failed(error);
        this.#again(() => this.#sendMissing());
      }
    } finally {
      this.#sending = false;
    }
  }

  async #deliver(update) {
    if (update.length <= MAX_MESSAGE) await this.#channel.send("update", { update });
    else if (!(await this.#call("merge", { document: this.#id, update }))) throw new Error("The change was not saved.");
  }

  #again(run) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(run, RETRY);
  }
}
