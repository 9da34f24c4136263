// Shows an answer while it is written. Without this the page comes back with the whole answer.
// What the model says goes in as text, and the finished page is fetched and moved in as nodes.

const PARTS = ["turns", "beside", "pick"];
const form = document.getElementById("say-form");
const status = document.getElementById("try-status");

async function say() {
  const button = form.querySelector("[type=submit]");
  const said = new FormData(form);
  const message = form.elements.message.value;
  const words = [turn("", message, form.dataset.user), turn("answer", "", form.dataset.model)];
  document.getElementById("turns").append(...words);
  words[1].scrollIntoView({ block: "nearest" });
  button.disabled = true;
  status.textContent = form.dataset.working;
  form.querySelector(".problems")?.remove();
  let problem = "";
  try {
    problem = await answer(said, words[1].querySelector(".said"));
  } catch (thrown) {
    problem = thrown instanceof Element ? thrown : form.dataset.broken;
    words.forEach((one) => one.remove());
  }
  button.disabled = false;
  status.textContent = "";
  if (problem) complain(problem);
  else if (form.elements.message.value === message) form.elements.message.value = "";
  form.elements.message.focus();
}

/** Send what was said and write the answer into `place`. Return what went wrong, or nothing. */
async function answer(said, place) {
  const reply = await fetch(form.action, {
    method: "POST", body: said, credentials: "same-origin", headers: { Accept: "text/event-stream" },
  });
  if (!reply.ok || !reply.headers.get("Content-Type")?.startsWith("text/event-stream")) {
    // Not an answer but a page that says what is wrong with what was said; or that somebody was signed out.
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    throw page.querySelector("#say-form .problems") ?? new Error(page.title);
  }
  let last = { error: form.dataset.broken };
  for await (const event of events(reply.body.getReader())) {
    if (event.token !== undefined) place.append(event.token);
    else last = event;
  }
  if (last.url) await show(new URL(last.url, location.href));
  else document.querySelectorAll("#turns > :not([id])").forEach((one) => one.remove());
  return last.error;
}

async function* events(reader) {
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const frames = (rest + decoder.decode(value, { stream: true })).split("\n\n");
    rest = frames.pop();
    for (const frame of frames) if (frame.startsWith("data: ")) yield JSON.parse(frame.slice(6));
  }
}

/** Take over what the talk's own page says now, but for what is being typed. */
async function show(url) {
  const page = new DOMParser().parseFromString(await (await fetch(url, { credentials: "same-origin" })).text(), "text/html");
  for (const id of PARTS) {
    const fresh = page.getElementById(id);
    if (fresh) document.getElementById(id)?.replaceWith(fresh);
  }
  const next = page.getElementById("say-form");
  if (next) form.action = next.action;
  history.replaceState(null, "", url);
}

function turn(kind, text, who) {
  const article = document.createElement("article");
  article.className = `card turn ${kind}`;
  const head = document.createElement("p");
  head.className = "line-head";
  head.append(document.createElement("strong"));
  head.firstChild.textContent = who;
  const words = document.createElement("div");
  words.className = "said";
  words.textContent = text;
  article.append(head, words);
  return article;
}

function complain(problem) {
  if (problem instanceof Element) {
    form.prepend(document.adoptNode(problem));
    return;
  }
  const note = document.createElement("p");
  note.className = "note problems";
  note.setAttribute("role", "alert");
  note.textContent = problem;
  form.prepend(note);
}

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  say();
});
form?.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
