// Shows or hides the password.

const button = document.querySelector('[data-behaviour~="reveal"]');
const field = document.getElementById(button.getAttribute("aria-controls"));
button.hidden = false;
button.addEventListener("click", () => {
  const isShown = field.type === "password";
  field.type = isShown ? "text" : "password";
  button.setAttribute("aria-pressed", isShown);
});
