
// The explorer: ask the server for the state at the strength, text and pool in hand, and show it.
const byId = (id) => document.getElementById(id);
const chosen = { index: 0 };
const latest = {};
const problems = {};

// What one kind of question ran into, or nothing; an answer of another kind does not take it back.
function tell(path, problem) {
  problems[path] = problem;
  byId("problem").textContent = Object.values(problems).find(Boolean) ?? "";
}

// The answer; nothing where a later question of the same kind has overtaken this one, or where none comes.
async function ask(path, values) {
  latest[path]?.abort();
  const { signal } = (latest[path] = new AbortController());
  try {
    const answer = await fetch(`${path}?${new URLSearchParams(values)}`, { signal });
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.error);
    tell(path, "");
    return body;
  } catch (error) {
    if (!signal.aborted) tell(path, `The explorer does not answer: ${error.message}`);
    return null;
  }
}

async function refresh() {
  const pool = document.querySelector("input[name=pool]:checked").value;
  byId("value").textContent = Number(byId("strength").value).toFixed(2);
  const state = await ask("/api/state", { strength: byId("strength").value, index: chosen.index, pool });
  if (state) draw(state);
}

function draw(state) {
  byId("kept").textContent = state.kept.toFixed(2);
  byId("reached").textContent = state.reached.toFixed(2);
  byId("chosen").textContent = `“${state.caption}”`;
  for (const [id, svg] of [["cosines", state.cosines], ["trade-off", state.trade_off]]) {
    byId(id).innerHTML = svg; // drawn by our server, which escapes every name
    readOut(byId(id).querySelector("svg"), byId(id).closest("figure").querySelector("output"));
  }
  for (const when of ["before", "now"]) byId(when).replaceChildren(...state[when].map(card));
  document.body.dataset.at = `${state.strength}/${state.index}`;
}

function card(found) {
  const item = document.createElement("li");
  item.className = found.side + (found.own ? " own" : "");
  if (found.thumbnail) {
    const image = document.createElement("img");
    image.src = found.thumbnail;
    image.alt = found.caption;
    item.append(image);
  }
  const caption = document.createElement("span"), note = document.createElement("small");
  caption.textContent = found.caption;
  note.textContent = `${found.name}, cosine ${found.cosine.toFixed(2)}${found.own ? " · its own" : ""}`;
  item.append(caption, note);
  return item;
}

async function list() {
  const answer = await ask("/api/texts", { search: byId("search").value });
  if (!answer) return;
  const { found, texts } = answer;
  byId("count").textContent = found > texts.length ? `${texts.length} of ${found} shown; search for others` : `${found} found`;
  byId("texts").replaceChildren(...texts.map((text) => {
    const item = document.createElement("li"), button = document.createElement("button");
    button.type = "button";
    button.textContent = text.caption;
    button.setAttribute("aria-pressed", String(text.index === chosen.index));
    button.addEventListener("click", () => {
      chosen.index = text.index;
      for (const other of all("#texts button")) other.setAttribute("aria-pressed", String(other === button));
      refresh();
    });
    item.append(button);
    return item;
  }));
}

byId("strength").addEventListener("input", refresh);
byId("search").addEventListener("input", list);
for (const choice of all("input[name=pool]")) choice.addEventListener("change", refresh);
list().then(refresh);
