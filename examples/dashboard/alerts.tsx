// Alerts and activity are rows: a trigger writes them in the transaction that they are about. The same trigger publishes an alert
// to the channel that all who watch have subscribed to, so that a page in the background notifies its user.

import { useChannel, usePresence, useQuery } from "@bunbase/react";
import { useApplication, useReport } from "../shared/application.js";
import { notify } from "../shared/desktop.js";
import { clock } from "../shared/session.js";

const CHANNEL = "dashboard:alerts";

interface Alert {
    id: number;
    service: string;
    milliseconds: number;
    raisedAt: string;
    clearedAt: string | null;
    takenBy: string | null;
}

interface Activity {
    id: number;
    at: string;
    actor: string;
    body: string;
}

function useAlerts(): Alert[] {
    const { docs, error } = useQuery((db) => db.collection<Alert>("alerts").orderBy("id", "desc").limit(10));
    useReport(error);
    return docs.map((doc) => doc.data());
}

/** What is slow now. */
export function Alarm() {
    const open = useAlerts().filter(({ clearedAt }) => !clearedAt);
    useChannel<{ raised: { service: string; milliseconds: number } }>(
        CHANNEL,
        { raised: ({ data }) => notify(`${data.service} is slow`, `${data.milliseconds} ms`) },
        { presence: true },
    );
    return (
        <p id="alarm" role="alert">
            {open.map(({ service, milliseconds }) => `${service} takes ${milliseconds} ms`).join(", ")}
        </p>
    );
}

/** Alerts, of which each is taken by one user at a time. */
export function Alerts() {
    const { user, call } = useApplication();
    const alerts = useAlerts();
    return (
        <section className="stack panel" aria-labelledby="alerts-title">
            <h2 id="alerts-title">Alerts</h2>
            <ol id="alerts" className="stack" aria-labelledby="alerts-title">
                {alerts.length === 0 && <li className="quiet">None yet</li>}
                {alerts.map(({ id, service, milliseconds, raisedAt, clearedAt, takenBy }) => (
                    <li key={id} className={clearedAt ? "" : "open"}>
                        <b>
                            {service}: {milliseconds} ms
                        </b>
                        <p className="quiet">
                            {clock(raisedAt)}
                            {clearedAt ? `, over at ${clock(clearedAt)}` : ", open"}
                            {takenBy && `, taken by ${takenBy}`}
                        </p>
                        {!clearedAt && (!takenBy || takenBy === user) && (
                            <button
                                type="button"
                                className="small"
                                onClick={() => void call("take", { id, take: !takenBy })}
                            >
                                {takenBy ? "Give it back" : "Take it"}
                            </button>
                        )}
                    </li>
                ))}
            </ol>
        </section>
    );
}

export function ActivityFeed() {
    const { docs, error } = useQuery((db) => db.collection<Activity>("activity").orderBy("id", "desc").limit(12));
    useReport(error);
    return (
        <section className="stack panel" aria-labelledby="activity-title">
            <h2 id="activity-title">Activity</h2>
            <ol id="activity" className="stack" aria-labelledby="activity-title">
                {docs.map((doc) => {
                    const { id, at, actor, body } = doc.data();
                    return (
                        <li key={id}>
                            <span className="quiet">{clock(at)}</span> <b>{actor}</b> {body}
                        </li>
                    );
                })}
            </ol>
        </section>
    );
}

export function Watchers() {
    const { user } = useApplication();
    const { users, error } = usePresence<{ name: string }>(CHANNEL, { name: user });
    useReport(error);
    return (
        <p id="watchers" className="quiet">
            Watching: {users.map(({ id }) => id).join(", ")}
        </p>
    );
}
