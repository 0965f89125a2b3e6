// Members of a channel out of its rows of presence, of which each connection has one.

/** @typedef {import("../data/pages.js").Row} Row */

/**
 * Users as `GET /realtime/channels/{id}/presence` answers them: of several connections of a user, one that is there goes before
 * one that is lost, and then the one that changed last (the view `realtime.presence_now`).
 * @param {Row[]} rows of realtime.presence, by connection within a user
 * @returns {Row[]}
 */
export function usersOf(rows) {
  /** @type {Map<string, Row[]>} */
  const byUser = new Map();
  for (const row of rows) byUser.set(row.userId, [...(byUser.get(row.userId) ?? []), row]);
  return [...byUser].map(([id, all]) => userOf(id, all)).sort((a, b) => a.joined - b.joined);
}

/** @param {string} id @param {Row[]} all */
function userOf(id, all) {
  const there = all.filter(({ leftAt }) => leftAt === null);
  const shown = (there.length ? there : all).reduce((last, row) =>
    at(row.updatedAt) >= at(last.updatedAt) ? row : last,
  );
  const first = all.reduce((oldest, row) => (at(row.joinedAt) < at(oldest.joinedAt) ? row : oldest));
  const { name } = shown.metadata;
  return {
    id,
    name: name === undefined || name === null ? null : typeof name === "string" ? name : JSON.stringify(name),
    state: shown.state,
    connections: there.length,
    joined: at(first.joinedAt),
    joinedAt: first.joinedAt,
  };
}

const at = (/** @type {string} */ text) => new Date(text).valueOf();
