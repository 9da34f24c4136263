// Has the browser ask before typed text is left behind, in a form or in anything around one.

for (const root of document.querySelectorAll('[data-behaviour~="dirty-form"]')) {
  let isDirty = false;
  root.addEventListener("input", ({ target }) => (isDirty ||= target.form?.method === "post"));
  root.addEventListener("submit", () => (isDirty = false));
  addEventListener("beforeunload", (event) => isDirty && event.preventDefault());
}
