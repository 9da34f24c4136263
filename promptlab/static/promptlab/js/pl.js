// Small conveniences over pages that work without them. Each is found by data-behaviour and set up by data-*.
// Fetched pages are parsed and moved in as nodes; nothing is ever built from text.

const LONGEST_PAUSE_MS = 5 * 60 * 1000;

/** Replace the box's content with the page at data-url, every data-every seconds while somebody can see it. */
function liveFragment(box) {
  const url = new URL(box.dataset.url, location.href);
  if (url.origin !== location.origin) return;
  const every = Number(box.dataset.every || 15) * 1000 * (navigator.connection?.saveData ? 4 : 1);
  let pause = every;
  let timer = 0;

  async function refresh() {
    clearTimeout(timer);
    if (!document.hidden && !isInUse(box)) {
      const page = await fetchPage(url);
      if (page === "gone") return;
      pause = page ? every : Math.min(pause * 2, LONGEST_PAUSE_MS);
      box.classList.toggle("late", !page);
      // Looked at again: someone may have opened or selected something while the answer was on its way.
      if (page && !isInUse(box)) replaceContent(box, page);
    }
    timer = setTimeout(refresh, pause);
  }

  timer = setTimeout(refresh, every);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refresh();
  });
}

/** Return the parsed page, null when it may work next time, "gone" when it will not (signed out, deleted). */
async function fetchPage(url) {
  try {
    const answer = await fetch(url, { credentials: "same-origin", redirect: "manual", cache: "no-store" });
    if (answer.type === "opaqueredirect" || [401, 403, 404, 410].includes(answer.status)) return "gone";
    return answer.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
  } catch {
    return null;
  }
}

function isInUse(box) {
  const selection = getSelection();
  const isSelected = selection && !selection.isCollapsed && selection.containsNode(box, true);
  return box.contains(document.activeElement) || isSelected;
}

function replaceContent(box, page) {
  const open = [...box.querySelectorAll("details")].map((details) => details.open);
  const scrolled = [...box.querySelectorAll(".scroll")].map((region) => region.scrollLeft);
  const source = page.querySelector('[data-behaviour~="live-fragment"]') ?? page.body;
  box.replaceChildren(...source.childNodes);
  box.querySelectorAll("details").forEach((details, i) => (details.open = open[i] ?? details.open));
  box.querySelectorAll(".scroll").forEach((region, i) => (region.scrollLeft = scrolled[i] ?? 0));
  start(box);
}

/** Copy data-copy, or the text of the element whose id is data-copy-from; say so on the button. */
function copy(button) {
  if (!navigator.clipboard) return;
  const label = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copyFrom);
    await navigator.clipboard.writeText(button.dataset.copy ?? source?.value ?? source?.textContent ?? "");
    button.textContent = button.dataset.done || label;
    setTimeout(() => (button.textContent = label), 2000);
  });
}

/** Let one of three buttons (light, dark, auto) choose the colours; admin/js/theme.js applies the choice on load. */
function theme(group) {
  const buttons = [...group.querySelectorAll("button")];
  const show = (mode) => buttons.forEach((button) => button.setAttribute("aria-pressed", button.value === mode));
  group.hidden = false;
  show(document.documentElement.dataset.theme || "auto");
  group.addEventListener("click", ({ target }) => {
    if (!buttons.includes(target)) return;
    document.documentElement.dataset.theme = target.value;
    localStorage.setItem("theme", target.value);
    show(target.value);
  });
}

/** Have the browser ask before typed text is left behind. Works on a form or on anything around one. */
function dirtyForm(root) {
  let isDirty = false;
  root.addEventListener("input", ({ target }) => (isDirty ||= target.form?.method === "post"));
  root.addEventListener("submit", () => (isDirty = false));
  addEventListener("beforeunload", (event) => isDirty && event.preventDefault());
}

/** Call `act` for single keys, unless someone is typing or has switched them off. */
function onKey(act) {
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest("input, textarea, select, [contenteditable]");
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || isTyping) return;
    if (document.body.dataset.singleKeys !== "off") act(event);
  });
}

/** Move to this field on "/". */
function slashFocus(field) {
  onKey((event) => {
    if (event.key !== "/") return;
    event.preventDefault();
    field.select();
    field.focus();
  });
}

/** Press the form's button with data-key when that key is. */
function keys(form) {
  onKey(({ key }) => {
    const button = [...form.querySelectorAll("[data-key]")].find((one) => one.dataset.key === key);
    if (button) form.requestSubmit(button);
  });
}

/** Send a form once: its button says data-busy and rests until the page changes or comes back. */
function busy(form) {
  form.addEventListener("submit", ({ submitter }) => {
    if (!submitter?.dataset.busy) return;
    const label = submitter.textContent;
    // After this event: a disabled button would not send its own name and value.
    setTimeout(() => {
      submitter.disabled = true;
      submitter.textContent = submitter.dataset.busy;
    });
    addEventListener("pageshow", () => {
      submitter.disabled = false;
      submitter.textContent = label;
    }, { once: true });
  });
}

/** Close an open <details> menu on Escape (focus goes back to its name) or on a click elsewhere. */
function menu(details) {
  document.addEventListener("click", ({ target }) => {
    if (!details.contains(target)) details.open = false;
  });
  details.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !details.open) return;
    details.open = false;
    details.querySelector("summary").focus();
  });
}

/** Show or hide the password in the field this button controls. */
function reveal(button) {
  const field = document.getElementById(button.getAttribute("aria-controls"));
  button.hidden = !field;
  button.addEventListener("click", () => {
    const isShown = field.type === "password";
    field.type = isShown ? "text" : "password";
    button.setAttribute("aria-pressed", isShown);
  });
}

/** Say how many tokens the fields at data-of hold, shortly after somebody stops typing. */
function estimate(line) {
  const form = line.closest("form");
  const fields = form.querySelectorAll(line.dataset.of);
  let timer = 0;
  async function count() {
    const text = [...fields].map((field) => field.value).join("\n").trim();
    line.hidden = !text;
    if (!text) return;
    const model = form.elements.model?.value ?? line.dataset.model ?? "";
    const headers = { "Content-Type": "application/json", "X-CSRFToken": form.elements.csrfmiddlewaretoken.value };
    const body = JSON.stringify({ text, model, team_id: Number(line.dataset.team) });
    const answer = await fetch(line.dataset.url, { method: "POST", headers, body, credentials: "same-origin" });
    line.hidden = !answer.ok;
    if (!answer.ok) return;
    const { tokens, is_estimated } = await answer.json();
    line.textContent = line.dataset[is_estimated ? "about" : "exact"].replace("#", tokens.toLocaleString(document.documentElement.lang));
  }
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => count().catch(() => (line.hidden = true)), 400);
  });
  count().catch(() => (line.hidden = true));
}

const BEHAVIOURS = {
  "live-fragment": liveFragment,
  copy,
  theme,
  "dirty-form": dirtyForm,
  "slash-focus": slashFocus,
  busy,
  menu,
  reveal,
  estimate,
  keys,
  "focus-me": (element) => element.focus(),
};

function start(root) {
  for (const element of root.querySelectorAll("[data-behaviour]")) {
    for (const name of element.dataset.behaviour.split(" ")) BEHAVIOURS[name]?.(element);
  }
}

start(document);
