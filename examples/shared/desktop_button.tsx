import { useState } from "react";
import { askForDesktop, desktopState } from "./desktop.js";

/** Asks whether this page may notify its user while it is in the background. */
export function DesktopButton() {
    const [state, setState] = useState(desktopState);
    if (state !== "default") return null;
    return (
        <button type="button" onClick={() => void askForDesktop().then(setState)}>
            Notify me
        </button>
    );
}
