// Switches, values under the pointer or by arrow keys, sorting, downloads, theme. Nothing is ever requested.
"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

for (const figure of all("figure")) {
  for (const choice of all(".switch input", figure))
    choice.addEventListener("change", () => show(figure, Number(choice.value)));
  for (const svg of all("svg.chart", figure)) readOut(svg, figure.querySelector("output"));
}

function show(figure, number) {
  all(".view", figure).forEach((view, i) => { view.hidden = i !== number; });
}

function readOut(svg, output) {
  const ring = svg.querySelector(".ring"), tips = all(".tip", svg);
  if (!tips.length || !output) return;
  let at = -1;
  const place = (tip) => [Number(tip.getAttribute("cx")), Number(tip.getAttribute("cy"))];
  const order = tips.map((tip) => [tip, ...place(tip)]).sort((a, b) => a[1] - b[1] || a[2] - b[2]).map((entry) => entry[0]);
  function tell(index) {
    at = index;
    const [x, y] = place(order[at]);
    ring.setAttribute("cx", x); ring.setAttribute("cy", y); ring.removeAttribute("hidden");
    output.textContent = order[at].dataset.tip;
  }
  function leave() { ring.setAttribute("hidden", ""); output.textContent = ""; at = -1; }
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal;
    const x = (event.clientX - box.left) * view.width / box.width, y = (event.clientY - box.top) * view.height / box.height;
    const far = order.map((tip) => { const [a, b] = place(tip); return Math.hypot(a - x, (b - y) * 0.6); });
    const index = far.indexOf(Math.min(...far));
    if (far[index] < 60) tell(index); else leave();
  });
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("blur", leave);
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Home") tell(0);
    else if (event.key === "End") tell(order.length - 1);
    else if (event.key === "Escape") leave();
    else if (step) tell(Math.min(Math.max(at + step, 0), order.length - 1));
    else return;
    event.preventDefault();
  });
}

for (const button of all("thead button")) button.addEventListener("click", () => {
  const head = button.closest("th"), row = head.parentElement, column = [...row.children].indexOf(head);
  const rising = head.getAttribute("aria-sort") === "descending" || (column === 0 && !head.hasAttribute("aria-sort"));
  for (const other of row.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", rising ? "ascending" : "descending");
  const value = (line) => line.children[column].dataset.value ?? line.children[column].textContent;
  const number = (text) => (text === "" ? -Infinity : Number(text));
  for (const body of all("tbody", row.closest("table"))) {
    const lines = [...body.rows].sort((a, b) => {
      const [p, q] = [value(a), value(b)];
      return column === 0 ? p.localeCompare(q) : number(p) - number(q) || 0;
    });
    body.append(...(rising ? lines : lines.reverse()));
  }
});

function save(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const cell = (value) => (/[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? ""));
const stored = document.getElementById("data"), data = stored ? JSON.parse(stored.textContent) : {};
for (const button of all("button[data-csv]")) button.addEventListener("click", () => {
  const { columns, rows } = data[button.dataset.csv];
  save(`${button.dataset.csv}.csv`, "text/csv", [columns, ...rows].map((row) => row.map(cell).join(",")).join("\n") + "\n");
});
for (const button of all("button[data-json]")) button.addEventListener("click", () => {
  const key = button.dataset.json;
  if (key === "results") save("results.json", "application/json", document.getElementById("results").textContent);
  else save(`${key}.json`, "application/json", JSON.stringify(data[key].rows.map((row) => Object.fromEntries(data[key].columns.map((name, i) => [name, row[i]])))));
});

// A table that is wider than the screen says so; on paper everything folded is there.
function hint() {
  for (const table of all(".wide-table")) {
    const said = table.previousElementSibling;
    if (said && said.classList.contains("sideways")) said.hidden = table.scrollWidth <= table.clientWidth + 1;
  }
}
addEventListener("resize", hint);
for (const folded of all("details")) folded.addEventListener("toggle", hint);
hint();

const theme = document.getElementById("theme");
if (theme) theme.addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
  document.documentElement.dataset.theme = dark ? "light" : "dark";
});
