// Says how many tokens the fields at data-of hold, shortly after somebody stops typing.

const line = document.querySelector("[data-of]");
const { dataset: words } = line;
const form = line.closest("form");
let timer = 0;

async function count() {
  const { model, csrfmiddlewaretoken: token } = form.elements;
  const text = [...form.querySelectorAll(words.of)].map((field) => field.value).join("\n").trim();
  line.hidden = true;
  if (!text) return;
  const body = JSON.stringify({ text, model: model?.value ?? words.model ?? "", team_id: Number(words.team) });
  const headers = { "Content-Type": "application/json", "X-CSRFToken": token.value };
  const answer = await fetch(words.url, { method: "POST", headers, body });
  if (!answer.ok) return;
  const { tokens, is_estimated } = await answer.json();
  line.textContent = words[is_estimated ? "about" : "exact"].replace("#", tokens.toLocaleString(document.documentElement.lang));
  line.hidden = false;
}

function soon() {
  clearTimeout(timer);
  timer = setTimeout(() => count().catch(() => {}), 400);
}

form.addEventListener("input", soon);
soon();
