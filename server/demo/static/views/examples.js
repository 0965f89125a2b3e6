// Ready-made statements for the SQL box. `room` is the room that is open.

import { CHAT } from "./chat.js";

/** @type {{title: string, sql: (room: string) => string}[]} */
export const EXAMPLES = [
  {
    title: "Insert a message",
    sql: (room) => `insert into messages (room_id, author, body)\nvalues ('${room}', 'psql', 'Hello from plain SQL');`,
  },
  {
    title: "Broadcast to chat",
    sql: () =>
      `select realtime.broadcast('${CHAT}', 'message',\n  '{"name": "Postgres", "text": "Hello from plain SQL"}');`,
  },
  {
    title: "Like a few",
    sql: (room) =>
      `update messages set likes = likes + 3\nwhere id in (\n  select id from messages where room_id = '${room}'\n  order by created_at desc offset 2 limit 3\n);`,
  },
  {
    title: "New order",
    sql: () =>
      "insert into orders (product_id, customer, region, amount)\nselect id, 'Walk-in', 'South', price * 20\nfrom products where name = 'Office Crate';",
  },
  {
    title: "Raise prices",
    sql: () => "update products set price = round(price * 1.05, 2)\nwhere category = 'Beans';",
  },
  {
    title: "Delete",
    sql: (room) =>
      `delete from messages\nwhere id in (\n  select id from messages where room_id = '${room}'\n  order by created_at desc limit 2\n);`,
  },
  {
    title: "Roll back",
    sql: () => "begin;\ndelete from messages;\nupdate orders set amount = 0;\nrollback;  -- no client ever saw it",
  },
  {
    title: "1,000 orders",
    sql: () =>
      "insert into orders (product_id, customer, region, quantity, amount, created_at)\nselect p.id, 'Load test ' || n,\n       (array['North', 'East', 'South', 'West'])[1 + n % 4],\n       1 + n % 3, p.price * (1 + n % 3), now() - n * interval '85 minutes'\nfrom generate_series(1, 1000) as n\njoin products p on p.id = 1 + n % 24;",
  },
  {
    title: "Count by status",
    sql: () => "select status, count(*), sum(amount)\nfrom orders\ngroup by status\norder by count desc;",
  },
  { title: "Reset everything", sql: () => "select demo_reset();" },
];
