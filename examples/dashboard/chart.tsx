// A line over time as SVG.

import { useId } from "react";

const [WIDTH, HEIGHT, LEFT, BOTTOM] = [640, 150, 56, 24];
const TOP = 8;

export interface Point {
    at: string;
    value: number;
}

const clock = (text: string): string =>
    new Date(text).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** A round number that is not below `value`, so that the scale does not change with every point. */
function roundUp(value: number): number {
    const power = 10 ** Math.floor(Math.log10(value));
    return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value)!;
}

/** `points` in order of time; `label` puts them into words for screen readers. */
export function LineChart({ title, points, label }: { title: string; points: Point[]; label: string }) {
    const id = useId();
    const top = roundUp(Math.max(10, ...points.map(({ value }) => value)));
    const room = HEIGHT - BOTTOM - TOP;
    const x = (i: number): number => LEFT + ((WIDTH - LEFT - 4) * i) / Math.max(1, points.length - 1);
    const y = (value: number): number => TOP + room * (1 - value / top);
    const path = points.map(({ value }, i) => `${x(i).toFixed(1)} ${y(value).toFixed(1)}`).join("L");
    const [first, last] = [points[0], points.at(-1)];
    return (
        <figure className="panel" aria-labelledby={id}>
            <figcaption>
                <h2 id={id}>{title}</h2>
            </figcaption>
            <svg className="chart" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={label}>
                {[0, top / 2, top].map((value) => (
                    <g key={value}>
                        <line className={value ? "grid" : "axis"} x1={LEFT} x2={WIDTH} y1={y(value)} y2={y(value)} />
                        <text x={LEFT - 6} y={y(value) + 4} textAnchor="end">
                            {value}
                        </text>
                    </g>
                ))}
                {first && last && (
                    <>
                        <path className="area" d={`M${x(0)} ${y(0)}L${path}L${x(points.length - 1)} ${y(0)}Z`} />
                        <path className="line" d={`M${path}`} />
                        <text x={LEFT} y={HEIGHT - 4}>
                            {clock(first.at)}
                        </text>
                        <text x={WIDTH - 4} y={HEIGHT - 4} textAnchor="end">
                            {clock(last.at)}
                        </text>
                    </>
                )}
            </svg>
        </figure>
    );
}
