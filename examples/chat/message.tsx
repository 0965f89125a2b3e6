// One message: its text or file, reactions, editing, and who has read it.

import { useState, type FormEvent } from "react";
import { useApplication } from "../shared/application.js";
import { clock } from "../shared/session.js";
import type { Draft } from "./composer.js";

/** A document of `chat_messages`. */
export interface Message {
    id: string;
    room: string;
    author: string;
    body: string;
    file: { id: string; name: string; size: number } | null;
    reactions: Record<string, string[]>;
    createdAt: string;
    editedAt: string | null;
}

const EMOJI = ["+1", "❤️", "😄"];

export function MessageItem({ message, readers }: { message: Message | Draft; readers: string[] }) {
    const { user } = useApplication();
    const [editing, setEditing] = useState(false);
    const sent = "createdAt" in message ? message : undefined;
    const classes = [message.author === user && "mine", !sent && "sending"].filter(Boolean).join(" ");
    return (
        <li className={classes} data-id={message.id}>
            <p className="quiet">
                <b>{message.author}</b> {sent ? clock(sent.createdAt) : "sending…"}
                {sent?.editedAt && " (edited)"}
            </p>
            {editing && sent ? (
                <EditForm message={sent} onEnd={() => setEditing(false)} />
            ) : sent?.file ? (
                <FileButton {...sent.file} />
            ) : (
                <p className="body">{message.body}</p>
            )}
            {sent && (
                <div className="row">
                    {EMOJI.map((emoji) => (
                        <Reaction key={emoji} id={sent.id} emoji={emoji} users={sent.reactions[emoji] ?? []} />
                    ))}
                    {sent.author === user && sent.body && !editing && (
                        <button type="button" className="small" onClick={() => setEditing(true)}>
                            Edit
                        </button>
                    )}
                </div>
            )}
            {readers.length > 0 && <p className="quiet receipt">Read by {readers.join(", ")}</p>}
        </li>
    );
}

function Reaction({ id, emoji, users }: { id: string; emoji: string; users: string[] }) {
    const { user, call } = useApplication();
    return (
        <button
            type="button"
            className="small"
            aria-label={`${emoji} ${users.length ? users.join(", ") : "no one yet"}`}
            aria-pressed={users.includes(user)}
            onClick={() => void call("react", { id, emoji })}
        >
            {users.length ? `${emoji} (${users.length})` : emoji}
        </button>
    );
}

function EditForm({ message, onEnd }: { message: Message; onEnd: () => void }) {
    const { call } = useApplication();
    const [body, setBody] = useState(message.body);
    const save = async (event: FormEvent): Promise<void> => {
        event.preventDefault();
        if (await call("edit", { id: message.id, body })) onEnd();
    };
    return (
        <form className="row" onSubmit={(event) => void save(event)}>
            <input
                className="wide"
                aria-label="Edited message"
                maxLength={2000}
                value={body}
                autoFocus
                onChange={({ target }) => setBody(target.value)}
                onKeyDown={({ key }) => key === "Escape" && onEnd()}
            />
            <button className="small">Save</button>
            <button type="button" className="small" onClick={onEnd}>
                Cancel
            </button>
        </form>
    );
}

/** A message has only the name, type and size of its file; the bytes come when they are asked for. */
function FileButton({ id, name, size }: { id: string; name: string; size: number }) {
    const { call } = useApplication();
    const open = async (): Promise<void> => {
        const found = await call<{ name: string; content: string } | null>("file", { id });
        if (!found?.result) return;
        const bytes = Uint8Array.from(atob(found.result.content), (letter) => letter.charCodeAt(0));
        const href = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
        Object.assign(document.createElement("a"), { href, download: found.result.name }).click();
        setTimeout(() => URL.revokeObjectURL(href), 10_000);
    };
    return (
        <p>
            <button type="button" onClick={() => void open()}>
                {name} ({Math.ceil(size / 1024)} KB)
            </button>
        </p>
    );
}
