"use strict";
// Nothing here is needed to read the page. Boxes of a map: one stop of the Tab key,
// arrow keys go to the nearest box on that side, Home and End to the biggest and smallest.
for (const map of document.querySelectorAll(".map")) {
  const boxes = [...map.querySelectorAll(".box")];
  const about = map.parentElement.querySelector(".about");
  const hint = about.textContent;
  const tell = (box) => { about.textContent = box ? box.getAttribute("aria-label") : hint; };
  const enter = (box) => {
    for (const other of boxes) other.tabIndex = other === box ? 0 : -1;
  };
  if (boxes.length) enter(boxes[0]);
  const nearest = (from, dx, dy) => {
    const a = from.getBoundingClientRect();
    let best = null, least = Infinity;
    for (const box of boxes) {
      const b = box.getBoundingClientRect();
      const gap = dx > 0 ? b.left - a.right : dx < 0 ? a.left - b.right
        : dy > 0 ? b.top - a.bottom : a.top - b.bottom;
      if (box === from || gap < -2) continue;
      const aside = dx ? Math.max(b.top - a.top, a.top - b.bottom + 1, 0)
        : Math.max(b.left - a.left, a.left - b.right + 1, 0);
      const far = Math.max(gap, 0) + 2 * aside;
      if (far < least) { least = far; best = box; }
    }
    return best;
  };
  const moves = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
  map.addEventListener("keydown", (event) => {
    const box = event.target.closest(".box");
    if (!box || event.altKey || event.ctrlKey || event.metaKey) return;
    const to = event.key === "Home" ? boxes[0] : event.key === "End" ? boxes[boxes.length - 1]
      : moves[event.key] ? nearest(box, ...moves[event.key]) : undefined;
    if (to === undefined) return;
    event.preventDefault();
    if (to) to.focus();
  });
  map.addEventListener("focusin", (event) => { enter(event.target); tell(event.target); });
  map.addEventListener("focusout", () => tell(null));
  map.addEventListener("mouseover", (event) => tell(event.target.closest(".box")));
  map.addEventListener("mouseleave", () => tell(null));
}
// Columns are sorted by a click on their heading: numbers by value, the rest by text.
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    if (!head.textContent) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === null
        ? head.classList.contains("n") : head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.v === undefined
        ? row.cells[column].textContent : Number(row.cells[column].dataset.v);
      const rows = [...body.rows].sort((one, other) => {
        const a = value(one), b = value(other);
        const order = typeof a === "number" ? a - b : a.localeCompare(b);
        return down ? -order : order;
      });
      body.append(...rows);
    });
  });
}
