// Small conveniences over pages that work without them. Each is found by data-behaviour and set up by data-*.
// What only some pages need has a file of its own. What moves new nodes in sends "pl:new" from around them.

/** Copy data-copy, or the text of the element whose id is data-copy-from; say so on the button. */
function copy(button) {
  const { dataset, textContent: label } = button;
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    const source = document.getElementById(dataset.copyFrom);
    await navigator.clipboard.writeText(dataset.copy ?? source?.value ?? source?.textContent ?? "");
    button.textContent = dataset.done || label;
    setTimeout(() => (button.textContent = label), 2000);
  });
}

/** Let one of three buttons (light, dark, auto) choose the colours; admin/js/theme.js applies the choice on load. */
function theme(group) {
  const { dataset } = document.documentElement;
  const show = () => {
    for (const button of group.querySelectorAll("button")) button.setAttribute("aria-pressed", button.value === (dataset.theme || "auto"));
  };
  group.hidden = false;
  group.addEventListener("click", ({ target }) => {
    if (target.value) localStorage.setItem("theme", (dataset.theme = target.value));
    show();
  });
  show();
}

/** A key presses, or goes to, what names it in aria-keyshortcuts. Single keys not while someone is typing, or has switched them off. */
document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  const isHeld = event.ctrlKey || event.metaKey;
  const isTyping = target.closest("input, textarea, select, [contenteditable]");
  if (event.altKey || (!isHeld && (isTyping || event.repeat || document.body.dataset.singleKeys === "off"))) return;
  const name = isHeld ? `Control+${key === "s" ? "S" : key}` : key;
  const found = document.querySelector(`[aria-keyshortcuts="${CSS.escape(name)}"]`);
  if (!found) return;
  event.preventDefault();
  if (!found.select) return found.click();
  found.focus();
  found.select();
});

/** Send a form once: its button says data-busy and rests until the page changes or comes back. */
function busy(form) {
  form.addEventListener("submit", ({ submitter }) => {
    if (!submitter?.dataset.busy) return;
    const label = submitter.textContent;
    const rest = (disabled, textContent) => Object.assign(submitter, { disabled, textContent });
    // After this event: a disabled button would not send its own name and value.
    setTimeout(() => rest(true, submitter.dataset.busy));
    addEventListener("pageshow", () => rest(false, label), { once: true });
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

const BEHAVIOURS = { copy, theme, busy, menu };

function start(root) {
  for (const element of root.querySelectorAll("[data-behaviour]")) {
    for (const name of element.dataset.behaviour.split(" ")) BEHAVIOURS[name]?.(element);
  }
}

start(document);
document.addEventListener("pl:new", ({ target }) => start(target));
