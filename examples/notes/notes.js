// Collaborative editing: documents, who may edit them, who is there, and versions. What makes a document one text for all is in
// sync.js, the editor in editor.js, cursors in people.js and cursors.js.

import { byId, caller, clock, enter, h, problem } from "../shared/page.js";
import { colourOf, showPeers } from "./cursors.js";
import { createEditor } from "./editor.js";
import { People } from "./people.js";
import { SharedDocument } from "./sync.js";

const WELCOME = "00000000-0000-4000-8000-000000000001";

const call = caller("notes");
const { user, realtime } = await enter();
const database = realtime.database();
const failed = (error) => problem(error.message);

let documents = [];
let versions = [];
let opened; // the document that is shown: { id, shared, editor, people, text, live, ready }
let saved; // whether the server has all; undefined: not known yet

const wanted = () =>
  documents.find(({ id }) => id === location.hash.slice(1)) ?? documents.find(({ id }) => id === WELCOME);
const mayEdit = ({ owner, everyone, editors }, person = user) =>
  everyone || owner === person || editors.includes(person);

database
  .collection("note_documents")
  .orderBy("createdAt")
  .onSnapshot(({ docs }) => {
    documents = docs.map((doc) => doc.data());
    show();
  }, failed);
addEventListener("hashchange", () => show());

let switching = Promise.resolve();
/** Show the document that the address names, with what this user may do there now. */
function show() {
  switching = switching.then(async () => {
    const document = wanted();
    if (!document) return;
    if (opened?.id !== document.id) await open(document);
    applyRights(document);
  }, failed);
  return switching;
}

async function open({ id, title, ...rights }) {
  await leave();
  saved = undefined;
  byId("title").textContent = title;
  const shared = new SharedDocument({ realtime, call, user, id, on: { saved: showSaved, refused, failed } });
  shared.editable = mayEdit(rights);
  const people = new People({ realtime, user, id, page: String(shared.doc.clientID), changed: drawPeople, failed });
  const parent = byId("editor");
  const { text } = shared;
  const editor = createEditor({ parent, text, label: title, onSelect: (selection) => people.select(selection) });
  text.observe(() => Promise.resolve().then(drawPeople)); // a cursor may wait for its characters
  const ready = shared.open().then(() => {
    if (opened?.shared !== shared) return;
    parent.dataset.document = id; // it has what the server has
    drawPeople();
  }, failed);
  opened = { id, shared, editor, people, text, live: followVersions(id), ready };
}

async function leave({ forget = false } = {}) {
  if (!opened) return;
  const { shared, editor, people, live } = opened;
  opened = undefined;
  delete byId("editor").dataset.document;
  live.unsubscribe();
  editor.destroy();
  await people.close();
  await shared.close({ forget });
}

/** The server takes no edit of this user: what it has not taken is given up, so that the page shows what all see. */
function refused() {
  switching = switching.then(() => leave({ forget: true }));
  show()
    .then(() => opened?.ready)
    .then(() => problem("You may read this document, but not edit it. What you changed last is not saved."));
}

function showSaved(whether) {
  saved = whether;
  drawStatus();
}

function drawStatus() {
  const offline = realtime.status.state !== "open";
  const editable = opened && mayEdit(wanted());
  byId("status").textContent = offline
    ? "Offline: what you write is kept here, and merged when you are back."
    : !editable
      ? "You may read this document."
      : saved === undefined
        ? "Loading…"
        : saved
          ? "All changes are saved."
          : "Saving…";
}
realtime.on("status", drawStatus);

function applyRights(document) {
  if (!opened) return;
  const editable = mayEdit(document);
  opened.shared.editable = editable;
  opened.editor.setEditable(editable);
  for (const id of ["undo", "redo", "save-button"]) byId(id).disabled = !editable;
  byId("restore").disabled = !editable;
  byId("sharing").hidden = document.owner !== user;
  byId("everyone").checked = document.everyone;
  byId("documents").replaceChildren(
    ...documents.map(({ id, title }) =>
      h("li", {}, h("a", { href: `#${id}`, "aria-current": id === document.id && "page" }, title)),
    ),
  );
  drawPeople();
  drawStatus();
}

byId("undo").onclick = () => opened?.editor.undo();
byId("redo").onclick = () => opened?.editor.redo();
byId("everyone").onchange = ({ target }) => call("share", { document: opened.id, everyone: target.checked });

byId("create").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [id, input] = [crypto.randomUUID(), byId("new-title")];
  const done = await call("create", { id, title: input.value });
  if (!done) return;
  input.value = "";
  await realtime.whenSeen(done.position).catch(failed);
  location.hash = id;
});

// People: presence, and the line in which the cursor of each is.

function drawPeople() {
  if (!opened) return;
  const document = wanted();
  const { people, editor, text } = opened;
  if (text.length !== editor.view.state.doc.length) return; // in the middle of a change, which is followed by another call
  const lines = showPeers(editor.view, text, people.peers.values());
  const rows = people.users.map(({ id }) => {
    const where = id === user ? "you" : lines.has(id) ? `line ${lines.get(id)}` : "";
    const may = mayEdit(document, id);
    const share = () => call("share", { document: opened.id, person: id, edits: !may });
    return h(
      "li",
      { class: colourOf(id), "data-person": id },
      h("span", { class: "name" }, id),
      h("span", { class: "quiet" }, [may ? "" : "reads", where].filter(Boolean).join(", ")),
      document.owner === user &&
        !document.everyone &&
        id !== user &&
        h("button", { type: "button", class: "small", onclick: share }, may ? "Let only read" : "Let edit"),
    );
  });
  redraw(byId("people"), rows);
}

/** Replace the rows of a list that are others now; the rest, and the focus in it, stays. */
function redraw(list, rows) {
  rows.forEach((row, i) => {
    const old = list.children[i];
    if (!old) list.append(row);
    else if (!old.isEqualNode(row)) old.replaceWith(row);
  });
  while (list.children.length > rows.length) list.lastElementChild.remove();
}

// Versions: rows. The list is a live query; the text of one comes when it is asked for.

function followVersions(document) {
  versions = [];
  return database
    .collection("note_versions")
    .where("document", "==", document)
    .orderBy("id", "desc")
    .limit(50)
    .onSnapshot(({ docs }) => {
      versions = docs.map((doc) => doc.data());
      const rows = versions.map(({ id, name, author, createdAt }) =>
        h(
          "li",
          { "data-version": id },
          h("button", { type: "button", class: "version", onclick: () => preview(id) }, name),
          h("span", { class: "quiet" }, `${author}, ${clock(createdAt)}`),
        ),
      );
      byId("versions").replaceChildren(...(rows.length ? rows : [h("li", { class: "quiet" }, "None yet")]));
    }, failed);
}

const save = (name) => call("save", { document: opened.id, name, body: opened.text.toString() });

byId("save").addEventListener("submit", async (event) => {
  event.preventDefault();
  const input = byId("version-name");
  if (await save(input.value)) input.value = "";
});

let shown; // the version that is previewed: { name, body }

async function preview(id) {
  const answer = await call("version", { id });
  if (!answer?.result) return;
  const { name, author, createdAt } = versions.find((version) => version.id === id);
  shown = { name, body: answer.result.body };
  byId("preview-title").textContent = name;
  byId("preview-by").textContent = `${author}, ${new Date(createdAt).toLocaleString()}`;
  byId("preview-body").textContent = shown.body;
  byId("preview").showModal();
}

byId("close").onclick = () => byId("preview").close();
// An edit as any other: it is merged with what others write at this moment, it can be undone, and the text before it is a version.
byId("restore").onclick = async () => {
  byId("preview").close();
  if (await save(`Before “${shown.name}”`.slice(0, 80))) opened.editor.replace(shown.body);
};
