// One message on the board, with its buttons. Each button is one SQL statement.

import { h, icon, setText } from "../shared/lib/dom.js";
import { bucket, fullMoment, initials, moment } from "../shared/lib/format.js";

/** @typedef {import("@bunbase/sdk").Doc} Doc */

const HEART = "M8 13.5 3 8.6a3.2 3.2 0 0 1 4.5-4.5l.5.5.5-.5A3.2 3.2 0 0 1 13 8.6z";
const PEN = "m3 13 .7-3L10.5 3.2l2.3 2.3L6 12.3zM9.2 4.5l2.3 2.3";
const PIN = "M10 2.5 13.5 6l-1 .7-1 3-1.5 1.5L4.8 6l1.5-1.5 3-1zM7.2 8.8 3 13";
const BIN = "M3 4.5h10M6.5 4.5V3h3v1.5M4.5 4.5l.6 8.5h5.8l.6-8.5M6.8 7v3.5M9.2 7v3.5";

const UPDATE_LIKES = "update messages set likes = likes + 1 where id = $1";
const UPDATE_BODY = "update messages set body = $2, edited_at = now() where id = $1";
const UPDATE_PINNED = "update messages set pinned = not pinned where id = $1";
const DELETE = "delete from messages where id = $1";

/**
 * @param {Doc} doc
 * @param {(sql: string, params: (string|number)[]) => void} run
 * @returns {import("./list.js").RowView}
 */
export function messageView(doc, run) {
  const { id } = doc.data();
  const author = h("b.author");
  const time = h("time");
  const marks = h("span.marks");
  const body = h("p.body");
  const likes = h("span.count");
  const like = action("Like", HEART, () => run(UPDATE_LIKES, [id]), likes);
  const pin = action("Pin", PIN, () => run(UPDATE_PINNED, [id]));
  const edit = action("Edit", PEN, () => startEditing());
  const remove = action("Delete", BIN, () => run(DELETE, [id]));
  like.classList.add("like");
  const avatar = h("span.avatar", { "aria-hidden": "true" });
  const content = h("div.content", {}, h("p.byline", {}, author, " ", time, marks), body);
  const element = h(
    "li.message",
    {},
    avatar,
    content,
    h("div.actions", {}, like, h("span.more", {}, pin, edit, remove)),
  );
  let current = doc;

  function startEditing() {
    if (content.querySelector("form")) return;
    const { body: text } = current.data();
    const form = editor(text, {
      save: (next) => next !== current.data().body && run(UPDATE_BODY, [id, next]),
      done: () => {
        form.replaceWith(body);
        edit.focus();
      },
    });
    body.replaceWith(form);
    const field = /** @type {HTMLTextAreaElement} */ (form.elements[0]);
    field.focus();
    field.select();
  }

  return {
    element,
    update(next) {
      current = next;
      const data = next.data();
      setText(author, data.author);
      setText(avatar, initials(data.author));
      avatar.dataset.tone = String(bucket(data.author, 6));
      setText(body, data.body);
      setText(time, moment(data.createdAt));
      time.setAttribute("datetime", data.createdAt);
      time.setAttribute("title", fullMoment(data.createdAt));
      setText(
        marks,
        [data.editedAt && "edited", data.pinned && "pinned"]
          .filter(Boolean)
          .map((mark) => ` · ${mark}`)
          .join(""),
      );
      setText(likes, data.likes);
      like.dataset.liked = String(data.likes > 0);
      like.setAttribute("aria-label", `Like the message by ${data.author}; ${data.likes} so far`);
      pin.setAttribute("aria-pressed", String(data.pinned));
      element.classList.toggle("pinned", data.pinned);
      for (const [button, verb] of /** @type {const} */ ([
        [pin, "Pin"],
        [edit, "Edit"],
        [remove, "Delete"],
      ])) {
        button.setAttribute("aria-label", `${verb} the message by ${data.author}`);
      }
    },
  };
}

/**
 * @param {string} title
 * @param {string} path
 * @param {() => void} onclick
 * @param {...Node} more
 */
const action = (title, path, onclick, ...more) =>
  h("button.icon-button.small", { type: "button", title, onclick }, icon(path), ...more);

/**
 * A message's text as a form: Ctrl or Cmd and Enter saves, Escape leaves it as it was.
 * @param {string} text
 * @param {{save: (text: string) => void, done: () => void}} then
 * @returns {HTMLFormElement}
 */
function editor(text, { save, done }) {
  const field = /** @type {HTMLTextAreaElement} */ (
    h("textarea", { rows: 2, maxlength: 500, required: true, "aria-label": "Text of the message" })
  );
  field.value = text;
  const form = /** @type {HTMLFormElement} */ (
    h(
      "form.editor",
      {},
      field,
      h(
        "span.run-bar",
        {},
        h("button.button.primary", { type: "submit" }, "Save"),
        h("button.button.quiet-button", { type: "button", onclick: done }, "Cancel"),
      ),
    )
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const changed = field.value.trim();
    if (!changed) return;
    done();
    save(changed);
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") done();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  return form;
}
