// Money and days of the sales board.

const money = new Intl.NumberFormat("en", { style: "currency", currency: "EUR" });
const wholeMoney = new Intl.NumberFormat("en", { style: "currency", currency: "EUR", maximumFractionDigits: 0 });
const dayName = new Intl.DateTimeFormat("en", { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });
const dayOnly = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", timeZone: "UTC" });

export const euros = (/** @type {number} */ n) => money.format(n);
export const wholeEuros = (/** @type {number} */ n) => wholeMoney.format(n);

/** Days of the database, which are UTC: "Tue, Oct 14" and "Oct 14". */
export const day = (/** @type {string} */ text) => dayName.format(new Date(`${text}T00:00:00Z`));
export const shortDay = (/** @type {string} */ text) => dayOnly.format(new Date(`${text}T00:00:00Z`));
