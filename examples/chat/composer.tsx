// What a user writes: a message, or a file. Others see that it is being written.

import { useRef, useState, type ChangeEvent, type FormEvent } from "react";
import { useApplication } from "../shared/application.js";

const MAX_FILE = 1024 * 1024;
const TYPING_AGAIN = 2000; // milliseconds; the server takes "typing" back after 5 s

/** A message that is on its way. */
export interface Draft {
    id: string;
    author: string;
    body: string;
}

interface ComposerProps {
    /** Call the back end, and show the draft until the message is there. */
    deliver: (name: string, args: object, draft: Draft) => Promise<void>;
    setTyping: (typing: boolean) => void;
}

export function Composer({ deliver, setTyping }: ComposerProps) {
    const { user, report } = useApplication();
    const [body, setBody] = useState("");
    const typingSince = useRef(0);
    const picker = useRef<HTMLInputElement>(null);

    const type = ({ target }: ChangeEvent<HTMLInputElement>): void => {
        setBody(target.value);
        if (Date.now() - typingSince.current < TYPING_AGAIN) return;
        typingSince.current = Date.now();
        setTyping(true);
    };

    const send = (event: FormEvent): void => {
        event.preventDefault();
        const text = body.trim();
        if (!text) return;
        setBody("");
        if (typingSince.current) setTyping(false);
        typingSince.current = 0;
        const id = crypto.randomUUID();
        void deliver("send", { id, body: text }, { id, author: user, body: text });
    };

    const share = async ({ target }: ChangeEvent<HTMLInputElement>): Promise<void> => {
        const file = target.files?.[0];
        if (!file) return;
        if (file.size > MAX_FILE) return report({ message: "A file has 1 MB at most." });
        const bytes = new Uint8Array(await file.arrayBuffer());
        target.value = "";
        const content = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
        const { name, type: mime } = file;
        const id = crypto.randomUUID();
        await deliver("share", { id, name, type: mime, content }, { id, author: user, body: name });
    };

    return (
        <form id="send" className="row" onSubmit={send}>
            <label htmlFor="body" className="hidden">
                Message
            </label>
            <input
                id="body"
                className="wide"
                autoComplete="off"
                maxLength={2000}
                placeholder="Message"
                value={body}
                onChange={type}
            />
            <button className="primary">Send</button>
            <button type="button" onClick={() => picker.current?.click()}>
                File…
            </button>
            <input id="file" type="file" hidden ref={picker} onChange={(event) => void share(event)} />
        </form>
    );
}
