// A table that is wider than the page scrolls: with the keyboard, too, once it can have the focus (WCAG 2.1.1).
function focusable() {
  for (const table of document.querySelectorAll(".md-typeset__scrollwrap")) {
    if (table.scrollWidth > table.clientWidth) table.tabIndex = 0;
    else table.removeAttribute("tabindex");
  }
}
window.addEventListener("load", focusable);
window.addEventListener("resize", focusable);
