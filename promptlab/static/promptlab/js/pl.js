// Small conveniences over pages that work without them. Each is found by data-behaviour and set up by data-*.
// What only some pages need has a file of its own. What moves new nodes in sends "pl:new" from around them.

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

const BEHAVIOURS = {
  copy,
  theme,
  "dirty-form": dirtyForm,
  "slash-focus": slashFocus,
  busy,
  menu,
  keys,
  "focus-me": (element) => element.focus(),
};

function start(root) {
  for (const element of root.querySelectorAll("[data-behaviour]")) {
    for (const name of element.dataset.behaviour.split(" ")) BEHAVIOURS[name]?.(element);
  }
}

start(document);
document.addEventListener("pl:new", ({ target }) => start(target));
