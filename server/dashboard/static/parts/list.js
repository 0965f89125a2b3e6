// A long list of the server with search and order, as connections, channels and live queries are.

import { Listed } from "../data/listed.js";
import { Source } from "../data/source.js";
import { address } from "../lib/route.js";
import { number } from "../lib/values.js";
import { Block } from "./block.js";
import { FIGURES, LONGEST } from "./page.js";
import { windowedTable } from "./table.js";
import { h, setText } from "../shared/lib/dom.js";

const TYPING = 250;

/** @typedef {import("../data/pages.js").Row} Row */
/** @typedef {{collection: string, where?: object[], orders: Record<string, (string|string[])[]>, rows: (rows: Row[], asked: {search: string, sort: string}) => Row[]}} Live `orders`: for each value of `LongList.orders`; `rows`: those of the list, out of a collection's */
/**
 * @typedef {object} LongList
 * @property {string} title
 * @property {string} path of the API
 * @property {string} field of its answer
 * @property {(row: Row) => string} key
 * @property {import("./table.js").Column[]} columns
 * @property {[value: string, title: string][]} orders the first is the API's own
 * @property {Live} live where the same list comes without asking
 * @property {string} hint in the search box
 * @property {string} nothing
 */

/** @param {import("./page.js").Page} page @param {LongList} options @returns {() => void} read again now */
export function longList(page, { title, path, field, key, columns, orders, live, hint, nothing }) {
  const { name, query } = page.route;
  const total = h("p.quiet.total", { role: "status" });
  const search = /** @type {HTMLInputElement} */ (
    h("input", {
      type: "search",
      placeholder: hint,
      "aria-label": `Search ${title.toLowerCase()}`,
      maxlength: 200,
      value: query.get("search") ?? "",
    })
  );
  const order = /** @type {HTMLSelectElement} */ (
    h(
      "select",
      {},
      ...orders.map(([value, text]) => h("option", { value, selected: value === query.get("sort") }, text)),
    )
  );
  page.heading(title, total);
  const filters = h(
    "form.filters",
    { onsubmit: (/** @type {Event} */ event) => event.preventDefault() },
    search,
    h("label.select", {}, h("span", {}, "Order"), order),
  );
  const block = page.add(new Block(title, { quiet: true }));
  block.element.classList.add("fills");
  block.element.prepend(filters);

  let pages = reading();
  const view = windowedTable(title, columns, { key, nothing, look: () => sooner() });
  block.body.append(view.element);
  const sooner = () => {
    const [from, to] = view.range;
    if (pages.rows(from, to).some((row) => !row)) again();
  };
  const again = page.watch(
    block,
    new Source(async () => {
      const list = pages;
      const [from, to] = view.range;
      await list.refresh(from, Math.max(to, 1));
      return list;
    }),
    (list) => {
      if (list !== pages) return again();
      view.show(list);
      setText(total, `${number(list.length)}${list.known ? "" : "+"}`);
      sooner();
    },
  );

  function reading() {
    const asked = { search: search.value.trim(), sort: order.value };
    const read = async (
      /** @type {{after: string|null, limit: number, count?: boolean}} */ { after, limit, count },
    ) => {
      const answer = await page.api.get(path, { ...asked, after, limit, count }, page.signal);
      return { rows: answer[field], next: answer.next, count: answer.count };
    };
    const changed = () => again();
    const query = { ...(live.where && { where: live.where }), orderBy: live.orders[asked.sort] };
    const followed = page.follow(live.collection, { query, longest: LONGEST, changed });
    const trigger = () => page.follow(FIGURES, { query: { orderBy: ["node"] }, longest: LONGEST, changed });
    return new Listed(read, followed, (rows) => live.rows(rows, asked), trigger);
  }

  function changed() {
    const asked = { search: search.value.trim(), sort: order.value === orders[0][0] ? "" : order.value };
    history.replaceState(null, "", address(name, null, asked));
    pages.leave();
    pages = reading();
    again();
  }
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  let typing;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(changed, TYPING);
  });
  order.addEventListener("change", changed);
  return again;
}
