// Who else is in a document, and where: presence and messages of the channel cursors:ID, which are stored nowhere. Each subscriber
// receives the latest cursor of each page, at most every 50 ms (conflate).

const INTERVAL = 50; // milliseconds, between two messages and for conflation
const REPEAT = 15_000; // a page that has nothing new sends its cursor again after this
const FORGOTTEN = 40_000; // and is forgotten after this

export class People {
  /** Presence of the users in the document, as `{ id }`. */
  users = [];
  /** Cursors by page: `{ name, moved, anchor, head, seen }`. */
  peers = new Map();
  #realtime;
  #channel;
  #page;
  #selection = null;
  #sent = "null";
  #waiting;
  #repeat;

  /** `page`: an id of this page among those of all users. `changed()` is called when users or peers are others now. */
  constructor({ realtime, user, id, page, changed, failed }) {
    [this.#realtime, this.#page] = [realtime, page];
    this.#channel = realtime.channel(`cursors:${id}`, {
      presence: { name: user },
      conflate: { key: "page", ms: INTERVAL },
    });
    const list = async () => {
      this.users = (await this.#channel.getPresence()).users;
      changed();
    };
    for (const event of ["subscribed", "presence:join", "presence:leave"])
      this.#channel.on(event, () => list().catch(failed));
    for (const event of ["subscribed", "presence:join"]) this.#channel.on(event, () => this.#send()); // users who come see this page
    this.#channel.on("presence:leave", ({ id: left }) => {
      for (const [key, { name }] of this.peers) if (name === left) this.peers.delete(key);
    });
    this.#channel.on("cursor", ({ sender, data }) => {
      if (data?.page === this.#page || sender === null) return;
      const key = `${sender} ${data?.page}`; // the sender is that of the token, so no user moves the cursor of another
      const { anchor, head } = data?.selection ?? {};
      const before = this.peers.get(key);
      if (!anchor || !head) this.peers.delete(key);
      else {
        const same = before && JSON.stringify([anchor, head]) === JSON.stringify([before.anchor, before.head]);
        const moved = same ? before.moved : Date.now();
        this.peers.set(key, { name: sender, moved, anchor, head, seen: Date.now() });
      }
      changed();
    });
    this.#channel.on("error", failed);
    this.#channel.subscribe().catch(failed);
    this.#repeat = setInterval(() => {
      for (const [key, { seen }] of this.peers) if (seen < Date.now() - FORGOTTEN) this.peers.delete(key);
      if (this.#selection) this.#send();
      changed();
    }, REPEAT);
  }

  /** This user has selected something else. */
  select(selection) {
    this.#selection = selection;
    if (this.#waiting || JSON.stringify(selection) === this.#sent) return;
    this.#waiting = setTimeout(() => {
      this.#waiting = undefined;
      if (JSON.stringify(this.#selection) !== this.#sent) this.#send();
    }, INTERVAL);
  }

  #send() {
    if (this.#realtime.status.state !== "open") return; // sent when it is subscribed again
    this.#sent = JSON.stringify(this.#selection);
    // A cursor that could not be sent is old news by the next one.
    this.#channel.send("cursor", { page: this.#page, selection: this.#selection }).catch(() => {});
  }

  async close() {
    clearInterval(this.#repeat);
    clearTimeout(this.#waiting);
    for (const event of ["subscribed", "presence:join", "presence:leave", "cursor", "error"]) this.#channel.off(event);
    await this.#channel.unsubscribe();
  }
}
