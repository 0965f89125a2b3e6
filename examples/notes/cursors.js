// Cursors and selections of others in the editor. They are Yjs positions, which stay with their characters whatever is typed before
// them; one whose characters are not here yet is shown once they are.

import { StateEffect, StateField } from "@codemirror/state";
import { Decoration, EditorView, ViewPlugin, WidgetType } from "@codemirror/view";
import * as Y from "yjs";

const COLOURS = 8;
const setPeers = StateEffect.define();

/** A user has the same colour for all, `peer-0` to `peer-7`. */
export const colourOf = (user) =>
  `peer-${[...user].reduce((hash, letter) => (31 * hash + letter.codePointAt(0)) >>> 0, 0) % COLOURS}`;

class Caret extends WidgetType {
  constructor(name, moved) {
    super();
    this.name = name;
    this.moved = moved;
  }

  eq(other) {
    return other.name === this.name && other.moved === this.moved;
  }

  toDOM() {
    const caret = document.createElement("span");
    const label = document.createElement("span");
    caret.className = `peer-caret ${colourOf(this.name)}`;
    caret.setAttribute("aria-hidden", "true"); // the list of people has the line of each
    label.className = "peer-name";
    label.textContent = this.name;
    caret.append(label);
    return caret;
  }

  get estimatedHeight() {
    return -1;
  }

  ignoreEvent() {
    return true;
  }
}

const field = StateField.define({
  create: () => Decoration.none,
  update: (shown, transaction) =>
    transaction.effects.find((effect) => effect.is(setPeers))?.value ?? shown.map(transaction.changes),
  provide: (shown) => EditorView.decorations.from(shown),
});

/** Where a Yjs position is now, or null: its characters are not here, or it is none (anything may come from other clients). */
function place(position, text) {
  try {
    const found = Y.createAbsolutePositionFromRelativePosition(Y.createRelativePositionFromJSON(position), text.doc);
    return found?.type === text ? found.index : null;
  } catch {
    return null;
  }
}

/** Show the peers, `{ name, moved, anchor, head }` each, in an editor; returns the line of each that is shown, by name. */
export function showPeers(view, text, peers) {
  const ranges = [];
  const lines = new Map();
  for (const { name, moved, anchor, head } of peers) {
    const [from, to] = [place(anchor, text), place(head, text)];
    if (from === null || to === null || Math.max(from, to) > view.state.doc.length) continue;
    if (from !== to)
      ranges.push(
        Decoration.mark({ class: `peer-selection ${colourOf(name)}` }).range(Math.min(from, to), Math.max(from, to)),
      );
    ranges.push(Decoration.widget({ widget: new Caret(name, moved), side: to < from ? 1 : -1 }).range(to));
    lines.set(name, view.state.doc.lineAt(to).number);
  }
  view.dispatch({ effects: setPeers.of(Decoration.set(ranges, true)) });
  return lines;
}

/** The extension: peers as they were shown last, and `onSelect` with the own selection, which stays when the focus goes. */
export const cursors = (text, onSelect) => [
  field,
  ViewPlugin.define(() => ({
    update({ view, selectionSet, docChanged, focusChanged }) {
      if (!view.hasFocus || (!selectionSet && !docChanged && !focusChanged)) return;
      // After this update: the text has the change by then.
      Promise.resolve().then(() => {
        if (text.length !== view.state.doc.length) return;
        const { anchor, head } = view.state.selection.main;
        onSelect({
          anchor: Y.createRelativePositionFromTypeIndex(text, anchor),
          head: Y.createRelativePositionFromTypeIndex(text, head),
        });
      });
    },
  })),
];

const colours = Array.from({ length: COLOURS }, (_, i) => [`.peer-${i}`, { "--peer": `var(--peer-${i})` }]);

export const cursorsTheme = EditorView.baseTheme({
  ...Object.fromEntries(colours),
  ".peer-selection": { backgroundColor: "color-mix(in srgb, var(--peer) 28%, transparent)" },
  ".peer-caret": { position: "relative", borderLeft: "2px solid var(--peer)", marginLeft: "-1px", marginRight: "-1px" },
  ".peer-name": {
    position: "absolute",
    bottom: "100%",
    left: "-2px",
    zIndex: 10,
    padding: "0 4px",
    borderRadius: "4px 4px 4px 0",
    backgroundColor: "var(--peer)",
    color: "var(--peer-ink)",
    font: "600 10px/13px system-ui, sans-serif",
    whiteSpace: "nowrap",
    pointerEvents: "none",
  },
});
