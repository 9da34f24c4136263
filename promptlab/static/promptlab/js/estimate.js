// Says how many tokens the fields at data-of hold, shortly after somebody stops typing.

function estimate(line) {
  const form = line.closest("form");
  const words = line.dataset;
  const fields = [...form.querySelectorAll(words.of)];
  let timer = 0;
  async function count() {
    const text = fields.map((field) => field.value).join("\n").trim();
    line.hidden = true;
    if (!text) return;
    const body = JSON.stringify({ text, model: form.elements.model?.value ?? words.model ?? "", team_id: Number(words.team) });
    const headers = { "Content-Type": "application/json", "X-CSRFToken": form.elements.csrfmiddlewaretoken.value };
    const answer = await fetch(words.url, { method: "POST", headers, body });
    if (!answer.ok) return;
    const { tokens, is_estimated } = await answer.json();
    line.textContent = words[is_estimated ? "about" : "exact"].replace("#", tokens.toLocaleString(document.documentElement.lang));
    line.hidden = false;
  }
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(() => count().catch(() => {}), 400);
  };
  form.addEventListener("input", soon);
  soon();
}

document.querySelectorAll('[data-behaviour~="estimate"]').forEach(estimate);
