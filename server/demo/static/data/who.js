// Each tab is another person, so that two of them can talk.

const KEY = "bunbase-author";
const NAMES = [
  "Ada",
  "Bela",
  "Chidi",
  "Dana",
  "Emre",
  "Femi",
  "Grete",
  "Hana",
  "Ivo",
  "Jun",
  "Kaya",
  "Lior",
  "Mina",
  "Noor",
  "Otto",
  "Pia",
];
const SURNAMES = [
  "Adler",
  "Brook",
  "Castell",
  "Dale",
  "Engel",
  "Frost",
  "Gray",
  "Hale",
  "Irving",
  "Jansen",
  "Keller",
  "Lind",
  "Marsh",
  "North",
  "Olsen",
  "Park",
];

/** @type {{id: string, name: string}|null} */
let me = null;

/** Who this tab is: an id for the server and a name for people. Kept while the tab is open. */
export function whoAmI() {
  me ??= remembered();
  return me;
}

function remembered() {
  const any = (/** @type {string[]} */ list) => list[Math.floor(Math.random() * list.length)];
  const name = `${any(NAMES)} ${any(SURNAMES)}`;
  const made = { id: `${name.toLowerCase().replace(" ", "-")}-${Math.random().toString(36).slice(2, 8)}`, name };
  try {
    const stored = sessionStorage.getItem(KEY);
    if (stored?.startsWith("{")) return /** @type {{id: string, name: string}} */ (JSON.parse(stored));
    sessionStorage.setItem(KEY, JSON.stringify(made));
  } catch {
    // storage is blocked: the name lasts as long as the page
  }
  return made;
}
