// The editor: CodeMirror, bound to a Yjs text by y-codemirror.next. It is in a shadow root, where its styles are adopted style
// sheets, which the page's policy allows; in the page itself they would be <style> elements, which it does not.

import { defaultKeymap } from "@codemirror/commands";
import { Compartment, EditorState } from "@codemirror/state";
import { EditorView, keymap, placeholder } from "@codemirror/view";
import { yCollab, yUndoManagerKeymap } from "y-codemirror.next";
import { UndoManager } from "yjs";

import { cursors, cursorsTheme } from "./cursors.js";

const THEME = EditorView.theme({
  "&": { height: "100%", color: "var(--ink)", backgroundColor: "var(--surface)" },
  "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "2px" },
  ".cm-scroller": { overflow: "auto", font: "16px/1.9 ui-serif, Georgia, serif" },
  ".cm-content": { padding: "26px 18px", caretColor: "var(--ink)" },
  ".cm-placeholder": { color: "var(--ink-2)" },
  ".cm-line": { padding: 0 },
});

/**
 * An editor of `text` in `parent`. `label`: its accessible name. `onSelect(selection)`: with Yjs positions, when the selection moves
 * or the editor gets the focus.
 */
export function createEditor({ parent, text, label, onSelect }) {
  const root = parent.shadowRoot ?? parent.attachShadow({ mode: "open" });
  root.replaceChildren();
  const readOnly = new Compartment();
  const undoManager = new UndoManager(text);
  const view = new EditorView({
    parent: root,
    root,
    state: EditorState.create({
      doc: text.toString(),
      extensions: [
        keymap.of([...yUndoManagerKeymap, ...defaultKeymap]),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ "aria-label": label, spellcheck: "true" }),
        placeholder("Write something: others see it as you type."),
        readOnly.of(locked(true)),
        yCollab(text, null, { undoManager }),
        cursors(text, onSelect),
        cursorsTheme,
        THEME,
      ],
    }),
  });
  return {
    view,
    setEditable: (may) => view.dispatch({ effects: readOnly.reconfigure(locked(!may)) }),
    undo: () => undoManager.undo(),
    redo: () => undoManager.redo(),
    replace: (body) => view.dispatch({ changes: change(view.state.doc.toString(), body) }),
    destroy: () => view.destroy(),
  };
}

/** Read only: the caret still moves, so that a reader can show others what it means. */
const locked = (is) => [EditorState.readOnly.of(is), EditorView.contentAttributes.of({ "aria-readonly": String(is) })];

/** The one change that makes `now` of `before`: what begins and ends both stays, and so do the cursors in it. */
export function change(before, now) {
  const most = Math.min(before.length, now.length);
  let from = 0;
  while (from < most && before[from] === now[from]) from++;
  let end = 0;
  while (end < most - from && before.at(-1 - end) === now.at(-1 - end)) end++;
  return { from, to: before.length - end, insert: now.slice(from, now.length - end) };
}
