// Live dashboard: figures and charts, the status of services, alerts, and what has happened.

import { useEffect, useState } from "react";
import { start, useApplication } from "../shared/application.js";
import { DesktopButton } from "../shared/desktop_button.js";
import { ActivityFeed, Alarm, Alerts, Watchers } from "./alerts.js";
import { Charts, Services, TotalFigures } from "./figures.js";

function Dashboard() {
    return (
        <main className="columns">
            <div className="stack">
                <Simulator />
                <Alarm />
                <TotalFigures />
                <Charts />
                <Services />
            </div>
            <div className="stack">
                <Watchers />
                <Alerts />
                <ActivityFeed />
            </div>
        </main>
    );
}

/** Requests are written as long as a page wants them. */
function Simulator() {
    const { call } = useApplication();
    const [running, setRunning] = useState(false);
    const [slow, setSlow] = useState(false);
    useEffect(() => {
        if (!running) return;
        let timer: ReturnType<typeof setTimeout> | undefined;
        let over = false;
        const next = (): void =>
            void call("simulate", { slow }).then(() => {
                if (!over) timer = setTimeout(next, 1000);
            });
        next();
        return () => {
            over = true;
            clearTimeout(timer);
        };
    }, [running, slow, call]);
    const run = async (): Promise<void> => {
        if (running) setRunning(false);
        const done = await call("log", { event: running ? "stopped" : "started" });
        if (done && !running) setRunning(true);
    };
    return (
        <div className="row">
            <button id="run" type="button" aria-pressed={running} onClick={() => void run()}>
                Run the simulator
            </button>
            <button id="slow" type="button" aria-pressed={slow} onClick={() => setSlow(!slow)}>
                Slow checkout
            </button>
            <DesktopButton />
        </div>
    );
}

start("Live dashboard", "dashboard", Dashboard);
