// Shows an answer while it is written. Without this the page comes back with the whole answer.
// What the model says goes in as text, and the finished page is fetched and moved in as nodes.

const PARTS = ["turns", "received", "beside", "pick"];
const form = document.getElementById("say-form");
const status = document.getElementById("try-status");
const fetched = async (answer) => new DOMParser().parseFromString(await answer.text(), "text/html");

async function say() {
  const button = form.querySelector("[type=submit]");
  const { message } = form.elements;
  const said = message.value;
  const body = new FormData(form);
  const words = [...form.querySelectorAll("template")].map(({ content }) => content.firstElementChild.cloneNode(true));
  const [question, reply] = words.map((one) => one.querySelector(".said"));
  question.textContent = said;
  document.getElementById("turns").append(...words);
  reply.scrollIntoView({ block: "nearest" });
  button.disabled = true;
  status.textContent = form.dataset.working;
  form.querySelector(".problems")?.remove();
  const problem = await answer(body, reply).catch((thrown) => (thrown instanceof Element ? thrown : form.dataset.broken));
  // What was answered stands in the talk's own page by now.
  words.forEach((one) => one.remove());
  button.disabled = false;
  status.textContent = "";
  if (problem) complain(problem);
  else if (message.value === said) message.value = "";
  message.focus();
}

/** Send what was said and write the answer into `place`. Return what went wrong, or nothing. */
async function answer(body, place) {
  const reply = await fetch(form.action, { method: "POST", body, headers: { Accept: "text/event-stream" } });
  if (!reply.ok || !reply.headers.get("Content-Type")?.startsWith("text/event-stream")) {
    // Not an answer but a page that says what is wrong with what was said; or that somebody was signed out.
    throw (await fetched(reply)).querySelector("#say-form .problems") ?? new Error();
  }
  let last = { error: form.dataset.broken };
  for await (const event of events(reply.body.getReader())) {
    if (event.token !== undefined) place.append(event.token);
    else last = event;
  }
  if (last.url) await show(new URL(last.url, location.href));
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
  const page = await fetched(await fetch(url));
  for (const id of PARTS) {
    const fresh = page.getElementById(id);
    if (fresh) document.getElementById(id)?.replaceWith(fresh);
  }
  form.action = page.getElementById("say-form")?.action ?? form.action;
  history.replaceState(null, "", url);
}

/** Say what is wrong: in words, or as a page says it. */
function complain(problem) {
  const note = document.createElement("div");
  Object.assign(note, { className: "note problems", role: "alert" });
  note.append(...(problem.childNodes ?? [problem]));
  form.prepend(note);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  say();
});
