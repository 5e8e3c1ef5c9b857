// Small conveniences. Every page works without them.
"use strict";

// Times in the zone of this browser.
function localise(root) {
  for (const each of root.querySelectorAll("time[data-local]")) {
    const moment = new Date(each.dateTime);
    each.textContent = moment.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
    each.removeAttribute("data-local");
  }
}
document.addEventListener("DOMContentLoaded", () => localise(document));

// Times that are typed in are meant in this zone.
document.addEventListener("DOMContentLoaded", () => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  for (const each of document.querySelectorAll("[data-zone]"))
    if (each.dataset.zone === "value") each.value = zone; else each.textContent = zone;
});
document.addEventListener("htmx:after:swap", () => localise(document));

// A list that is all on this page is sorted by a column; of a longer one only a part would be, which misleads.
const order = new Intl.Collator(undefined, { numeric: true }).compare;
function sortable() {
  if (document.querySelector(".pager a[rel=next], .pager a[rel=first]")) return;
  for (const table of document.querySelectorAll("main table"))
    if (table.tHead && table.tBodies[0]?.rows.length > 1)
      for (const head of table.tHead.rows[0].cells) {
        if (!head.textContent.trim() || head.querySelector("button, input")) continue;
        const button = document.createElement("button");
        button.type = "button";
        button.className = "sort";
        button.append(...head.childNodes);
        head.append(button);
      }
}
function value(row, place, isNumber) {
  const cell = row.cells[place];
  const said = cell?.querySelector("time")?.dateTime ?? cell?.textContent.trim() ?? "";
  const number = isNumber ? parseFloat(said.replace(/[\s,]/g, "")) : NaN;
  return isNumber ? (Number.isNaN(number) ? Infinity : number) : said;
}
document.addEventListener("DOMContentLoaded", sortable);
document.addEventListener("htmx:after:swap", sortable);
document.addEventListener("click", (event) => {
  const head = event.target.closest("th > button.sort")?.parentElement;
  if (!head) return;
  const isNumber = head.classList.contains("number");
  const down = head.getAttribute("aria-sort") === "ascending";
  for (const each of head.parentElement.cells) each.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const body = head.closest("table").tBodies[0];
  const rows = [...body.rows].map((row) => [value(row, head.cellIndex, isNumber), row]);
  rows.sort(([one], [other]) => (down ? -1 : 1) * (isNumber ? one - other || 0 : order(one, other)));
  body.append(...rows.map(([, row]) => row));
});

// "/" goes to the search box; Escape closes what is open.
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const box = document.getElementById("search");
    if (box) { event.preventDefault(); box.focus(); box.select(); }
  }
  if (event.key === "Escape") for (const each of document.querySelectorAll("details[open]")) each.open = false;
});

// Menus close when something else is clicked; an opened form has its first field focused.
document.addEventListener("click", (event) => {
  for (const each of document.querySelectorAll("details.menu[open], details.act[open]"))
    if (!each.contains(event.target)) each.open = false;
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    navigator.clipboard?.writeText(document.querySelector(copy.dataset.copy).textContent.trim());
    copy.textContent = "Copied";
  }
});
document.addEventListener("toggle", (event) => {
  if (event.target.matches("details.act") && event.target.open)
    event.target.querySelector("input:not([type=hidden]), select, textarea")?.focus();
}, true);

// A form is sent once.
document.addEventListener("submit", (event) => {
  if (event.target.method === "post") for (const each of event.target.querySelectorAll("button")) each.disabled = true;
});
addEventListener("pageshow", () => { for (const each of document.querySelectorAll("button")) each.disabled = false; });
