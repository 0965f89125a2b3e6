// Which view is asked for is in the address behind "#/": its name, what it is about, and how a list is shown.

/** @typedef {{name: string, subject: string|null, query: URLSearchParams}} Route */

/** @returns {Route} */
export function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const [name, subject] = path.split("/", 2);
  return { name, subject: subject ? decoded(subject) : null, query: new URLSearchParams(query ?? "") };
}

/** The address of a view. @param {string} name @param {string|null} [subject] @param {Record<string, string>} [query] */
export function address(name, subject = null, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "");
  const text = String(new URLSearchParams(given));
  return `#/${name}${subject === null ? "" : `/${encodeURIComponent(subject)}`}${text ? "?" : ""}${text}`;
}

function decoded(/** @type {string} */ text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // typed by hand
  }
}
