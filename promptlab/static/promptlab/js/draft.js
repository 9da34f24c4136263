// Keeps what is typed: on the server soon after somebody stops, in this browser while that does not work.
// And says every 20 s that the page is open, to hear who else has it open.

const PAUSE_MS = 3000;
const OWN = ["csrfmiddlewaretoken", "row_version", "started_from", "base", "carry"];
const form = document.querySelector("form[data-person]");
const { elements, dataset: words } = form;
const state = document.getElementById("draft-state");
const place = `draft:${words.person}:${location.pathname}`;
const typed = () => JSON.stringify([...new FormData(form)].filter(([name]) => !OWN.includes(name)));
let kept = "unkept" in words ? "" : typed();
let isBusy = false;
let isSent = false;
let timer = 0;

async function say(body, keepalive = false) {
  const headers = { "X-CSRFToken": elements.csrfmiddlewaretoken.value };
  const answer = await fetch(words.url, { method: "POST", headers, body, redirect: "manual", keepalive });
  if (answer.type === "opaqueredirect") throw words.out;
  if (answer.status === 403) await renew();
  if (!answer.ok) throw words.away;
  const told = await answer.json();
  document.getElementById("people-here").textContent = told.people;
  return told;
}

/** Take a new token: who signed in again in another window has another one. */
async function renew() {
  const page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
  const token = page.querySelector("form[data-person] [name=csrfmiddlewaretoken]");
  if (token) elements.csrfmiddlewaretoken.value = token.value;
}

async function keep(isLeaving) {
  clearTimeout(timer);
  const now = typed();
  if (now === kept || (isBusy && !isLeaving)) return;
  isBusy = true;
  state.textContent = words.saving;
  try {
    localStorage.setItem(place, now);
    const body = new FormData(form);
    body.delete("carry");
    const told = await say(body, isLeaving);
    state.textContent = told.state;
    if (told.row_version) {
      elements.row_version.value = told.row_version;
      kept = now;
      localStorage.removeItem(place);
    }
  } catch (problem) {
    state.textContent = problem.at ? problem : words.away;
  }
  isBusy = false;
  if (typed() !== kept) timer = setTimeout(keep, PAUSE_MS * 2);
}

const ping = () => document.hidden || say().catch(() => {});

/** Offer what this browser has and the server has not. */
function recover() {
  const found = JSON.parse(localStorage.getItem(place) ?? "[]").filter(([name]) => elements[name]?.matches);
  const isNew = ([name, word]) => elements[name].type === "textarea" && elements[name].value !== word.replaceAll("\r\n", "\n");
  const offer = document.getElementById("draft-offer");
  offer.hidden = !found.some(isNew);
  if (offer.hidden) localStorage.removeItem(place);
  offer.addEventListener("click", ({ target }) => {
    if (!target.value) return;
    if (target.value === "use") for (const [name, word] of found) elements[name].value = word;
    localStorage.removeItem(place);
    offer.hidden = true;
    keep();
  });
}

recover();
ping();
setInterval(ping, 20000);
form.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(keep, PAUSE_MS);
});
form.addEventListener("submit", () => {
  clearTimeout(timer);
  isSent = true;
});
addEventListener("pageshow", () => (isSent = false));
// The last words go along with who leaves; this browser has them until the server has said that it does.
addEventListener("pagehide", () => isSent || keep(true));
document.addEventListener("visibilitychange", () => document.hidden && !isSent && keep());
