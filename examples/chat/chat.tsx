// Live chat: messages and read receipts are live queries, presence and typing are the channel's.

import { useChannel, usePages, usePresence, useQuery, useRealtime } from "@bunbase/react";
import { useEffect, useLayoutEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { start, useApplication, useReport } from "../shared/application.js";
import { Composer, type Draft } from "./composer.js";
import { MessageItem, type Message } from "./message.js";

const ROOM = "lounge";
const CHANNEL = `chat:${ROOM}`;
const PAGE = 20;

interface Read {
    room: string;
    reader: string;
    message: string;
}

/** What others see of a user; `typing` is taken back by the server unless it is sent again. */
interface Presence {
    name: string;
    status: "online" | "away";
    typing?: boolean;
}

const useVisible = (): boolean =>
    useSyncExternalStore(
        (changed) => {
            document.addEventListener("visibilitychange", changed);
            return () => document.removeEventListener("visibilitychange", changed);
        },
        () => !document.hidden,
    );

function Chat() {
    const { user, report } = useApplication();
    const visible = useVisible();
    const presence = usePresence<Presence>(CHANNEL, { name: user, status: visible ? "online" : "away" });
    const { channel, error } = useChannel<object, Presence>(CHANNEL, {}, { presence: true });
    useReport(presence.error, error);
    const setTyping = (typing: boolean): void => void channel.updatePresence({ typing }).catch(report);
    const typing = presence.users.filter(({ id, state }) => state.typing && id !== user).map(({ id }) => id);
    return (
        <main className="columns">
            <section className="stack panel" aria-labelledby="messages-title">
                <h2 id="messages-title">Messages</h2>
                <Conversation visible={visible} typing={typing} setTyping={setTyping} />
            </section>
            <section className="stack panel" aria-labelledby="people-title">
                <h2 id="people-title">Here now</h2>
                <ul id="people" aria-labelledby="people-title">
                    {presence.users.map(({ id, state }) => (
                        <li key={id} data-status={state.status}>
                            {id}
                            {state.status === "away" ? " (away)" : ""}
                        </li>
                    ))}
                </ul>
            </section>
        </main>
    );
}

interface ConversationProps {
    visible: boolean;
    typing: string[];
    setTyping: (typing: boolean) => void;
}

function Conversation({ visible, typing, setTyping }: ConversationProps) {
    const { user, call, report } = useApplication();
    const client = useRealtime();
    // History: the newest messages, and older ones with each loadMore(). All that is loaded stays live.
    const history = usePages(
        (db) => db.collection<Message>("chat_messages").where("room", "==", ROOM).orderBy("createdAt", "desc"),
        PAGE,
    );
    const reads = useQuery((db) => db.collection<Read>("chat_reads").where("room", "==", ROOM).orderBy("reader"));
    useReport(reads.error, history.error);
    const shown = useMemo(() => history.docs.map((doc) => doc.data()).reverse(), [history.docs]);

    // A message is shown at once, and is that of the live query when this has passed the write.
    const [drafts, setDrafts] = useState<Draft[]>([]);
    const deliver = async (name: string, args: object, draft: Draft): Promise<void> => {
        setDrafts((before) => [...before, draft]);
        const done = await call(name, args);
        if (done) await client.whenSeen(done.position).catch(report);
        setDrafts((before) => before.filter(({ id }) => id !== draft.id));
    };
    const known = new Set(shown.map(({ id }) => id));
    const all: (Message | Draft)[] = [...shown, ...drafts.filter(({ id }) => !known.has(id))];

    const last = shown.at(-1)?.id;
    useEffect(() => {
        if (visible && last) void call("read", { id: last });
    }, [visible, last, call]);

    const list = useRef<HTMLOListElement>(null);
    const end = all.at(-1)?.id;
    useLayoutEffect(() => {
        if (list.current) list.current.scrollTop = list.current.scrollHeight;
    }, [end]);

    /** Who has read up to a message, besides this user and its author. */
    const readersOf = ({ id, author }: Message | Draft): string[] =>
        reads.docs
            .map((doc) => doc.data())
            .filter(({ message, reader }) => message === id && reader !== user && reader !== author)
            .map(({ reader }) => reader);

    return (
        <>
            {history.hasMore && (
                <button id="older" className="small" type="button" onClick={history.loadMore}>
                    Older messages
                </button>
            )}
            <ol id="messages" ref={list} className="stack" aria-label="Messages" tabIndex={0}>
                {all.map((message) => (
                    <MessageItem key={message.id} message={message} readers={readersOf(message)} />
                ))}
            </ol>
            <p id="typing" className="quiet" aria-live="polite">
                {typing.length ? `${typing.join(", ")} ${typing.length > 1 ? "are" : "is"} typing…` : ""}
            </p>
            <Composer deliver={deliver} setTyping={setTyping} />
        </>
    );
}

start("Live chat", "chat", Chat);
