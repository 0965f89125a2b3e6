// Figures, charts and the status of services: each is a live query in SQL. PostgreSQL computes, the page draws.

import { useQuery, type QueryResult } from "@bunbase/react";
import { useReport } from "../shared/application.js";
import { LineChart, type Point } from "./chart.js";

// Queries with now() are read again once a second, so the window moves on also while nothing is written.
const OVER_TIME = `
  select date_bin('5 seconds', at, timestamptz '2000-01-01Z') as at, count(*)::int as requests,
         percentile_cont(0.95) within group (order by milliseconds)::int as p95
  from dashboard.requests where at > now() - interval '5 minutes' group by 1 order by 1`;
const TOTALS = `
  select count(*)::int as requests, coalesce(avg(milliseconds), 0)::int as mean, count(*) filter (where not ok)::int as errors
  from dashboard.requests where at > now() - interval '5 minutes'`;
const SERVICES = `
  select t.service, count(r.id)::int as requests, t.milliseconds as threshold,
         coalesce(percentile_cont(0.95) within group (order by r.milliseconds), 0)::int as p95,
         count(*) filter (where not r.ok)::int as errors
  from dashboard.thresholds t
  left join dashboard.requests r on r.service = t.service and r.at > now() - interval '1 minute'
  group by t.service order by t.service`;

interface Bucket {
    at: string;
    requests: number;
    p95: number;
}

interface Totals {
    requests: number;
    mean: number;
    errors: number;
}

interface Service {
    service: string;
    requests: number;
    threshold: number;
    p95: number;
    errors: number;
}

/** The rows of a query in SQL over requests. */
function useRows<T>(sql: string): T[] {
    const { docs, error }: QueryResult<T> = useQuery((db) => db.collection("requests").sql<T>(sql));
    useReport(error);
    return docs.map((doc) => doc.data());
}

export function TotalFigures() {
    const [totals] = useRows<Totals>(TOTALS);
    const figures = { Requests: totals?.requests, "Mean time": totals && `${totals.mean} ms`, Errors: totals?.errors };
    return (
        <dl id="totals" className="panel">
            {Object.entries(figures).map(([name, figure]) => (
                <div key={name}>
                    <dt>{name}</dt>
                    <dd data-figure={name}>{figure}</dd>
                </div>
            ))}
        </dl>
    );
}

export function Charts() {
    const rows = useRows<Bucket>(OVER_TIME);
    const points = (field: "requests" | "p95"): Point[] => rows.map((row) => ({ at: row.at, value: row[field] }));
    const last = rows.at(-1);
    return (
        <>
            <LineChart
                title="Requests in 5 seconds"
                points={points("requests")}
                label={last ? `Now ${last.requests} requests in 5 seconds` : "No requests yet"}
            />
            <LineChart
                title="95th percentile, in milliseconds"
                points={points("p95")}
                label={last ? `Now ${last.p95} milliseconds` : "No requests yet"}
            />
        </>
    );
}

export function Services() {
    const rows = useRows<Service>(SERVICES);
    return (
        <section className="panel">
            <h2 id="services-title">System status, the last minute</h2>
            <table aria-labelledby="services-title">
                <thead>
                    <tr>
                        {["Service", "Requests", "p95", "Errors", "Status"].map((name) => (
                            <th key={name} scope="col">
                                {name}
                            </th>
                        ))}
                    </tr>
                </thead>
                <tbody id="services">
                    {rows.map(({ service, requests, p95, errors, threshold }) => (
                        <tr key={service} data-service={service}>
                            <th scope="row">{service}</th>
                            <td>{requests}</td>
                            <td>{p95} ms</td>
                            <td>{errors}</td>
                            <td className={p95 > threshold ? "bad" : "good"}>{p95 > threshold ? "slow" : "ok"}</td>
                        </tr>
                    ))}
                </tbody>
            </table>
        </section>
    );
}
