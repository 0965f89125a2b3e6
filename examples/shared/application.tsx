// What the examples with React share: signing in, the client with its tokens, the header, and the alert for what went wrong.

import { Realtime } from "@bunbase/sdk";
import { RealtimeProvider, useConnectionState } from "@bunbase/react";
import {
    createContext,
    StrictMode,
    useCallback,
    useContext,
    useEffect,
    useMemo,
    useState,
    type ComponentType,
    type FormEvent,
    type ReactNode,
} from "react";
import { createRoot } from "react-dom/client";
import { callBackEnd, currentSession, getToken, signIn, STATES, url } from "./session.js";

interface Application {
    /** Who has signed in. */
    user: string;
    /** Run a function of the example in the database, in the user's name. Null, and an alert, if it was refused. */
    call: <R = unknown>(name: string, args?: object) => Promise<{ result: R; position: string } | null>;
    /** Show what went wrong; undefined takes it away. */
    report: (error: { message: string } | undefined) => void;
}

const Context = createContext<Application | undefined>(undefined);

/** The user, and what is done in the user's name. */
export const useApplication = (): Application => useContext(Context)!;

/** Show the errors of live queries and channels. */
export function useReport(...errors: ({ message: string } | undefined)[]): void {
    const { report } = useApplication();
    const first = errors.find(Boolean);
    useEffect(() => {
        if (first) report(first);
    }, [first, report]);
}

// It connects when the provider is mounted, so when a user has signed in.
const client = new Realtime({ url, getToken, autoConnect: false });

/** Show `Main` to users who have signed in. `schema`: of the functions that it calls. */
export function start(title: string, schema: string, Main: ComponentType): void {
    createRoot(document.getElementById("app")!).render(
        <StrictMode>
            <Root title={title} schema={schema}>
                <Main />
            </Root>
        </StrictMode>,
    );
}

function Root({ title, schema, children }: { title: string; schema: string; children: ReactNode }) {
    const [user, setUser] = useState(currentSession()?.user);
    const [problem, setProblem] = useState("");
    const report = useCallback<Application["report"]>((error) => setProblem(error?.message ?? ""), []);
    useEffect(() => client.on("error", report), [report]);
    const application = useMemo<Application | undefined>(() => {
        if (user === undefined) return undefined;
        const call: Application["call"] = async (name, args) => {
            report(undefined);
            return callBackEnd(schema, name, args).catch((error: Error) => (report(error), null));
        };
        return { user, report, call };
    }, [user, schema, report]);
    const page = (
        <>
            <header className="top">
                <h1>{title}</h1>
                <b id="who">{user}</b>
                {application && <Connection />}
            </header>
            <p id="problem" role="alert">
                {problem}
            </p>
            {application ? (
                <Context value={application}>{children}</Context>
            ) : (
                <main>
                    <SignIn onUser={setUser} report={report} />
                </main>
            )}
        </>
    );
    return application ? <RealtimeProvider client={client}>{page}</RealtimeProvider> : page;
}

function Connection() {
    const { state } = useConnectionState();
    return (
        <span className="quiet" id="connection" role="status" data-state={state}>
            {STATES[state] ?? `Connection: ${state}`}
        </span>
    );
}

function SignIn({ onUser, report }: { onUser: (user: string) => void; report: Application["report"] }) {
    const [name, setName] = useState("");
    const submit = (event: FormEvent): void => {
        event.preventDefault();
        report(undefined);
        signIn(name).then(({ user }) => onUser(user), report);
    };
    return (
        <form id="sign-in" onSubmit={submit}>
            <h2>Sign in</h2>
            <label htmlFor="name">Your name</label>
            <input
                id="name"
                value={name}
                onChange={({ target }) => setName(target.value)}
                autoComplete="off"
                autoFocus
                required
                maxLength={24}
            />
            <button className="primary">Sign in</button>
        </form>
    );
}
