// A part of a page that looks again by itself. What is fetched is parsed and moved in as nodes, never built from text.

const LONGEST_PAUSE_MS = 5 * 60 * 1000;

/** Replace the box's content with the page at data-url, every data-every seconds while somebody can see it. */
function liveFragment(box) {
  const url = new URL(box.dataset.url, location.href);
  if (url.origin !== location.origin) return;
  const every = () => Number(box.dataset.every || 15) * 1000 * (navigator.connection?.saveData ? 4 : 1);
  // 0: what is shown is over, and does not change by itself.
  if (box.dataset.every === "0") return;
  let pause = every();
  let timer = 0;

  async function refresh() {
    clearTimeout(timer);
    if (!document.hidden && !isInUse(box)) {
      const page = await fetchPage(url);
      if (page === "gone") return;
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
      box.classList.toggle("late", !page);
      // Looked at again: someone may have opened or selected something while the answer was on its way.
      if (page && !isInUse(box)) {
        // It has come to its end: the buttons around it are other ones now, too.
        if (page.querySelector('[data-behaviour~="live-fragment"]')?.dataset.every === "0") return location.reload();
        replaceContent(box, page);
      }
      if (page) pause = every();
    }
    timer = setTimeout(refresh, pause);
  }

  timer = setTimeout(refresh, pause);
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
  if (source.dataset.every) box.dataset.every = source.dataset.every;
  box.querySelectorAll("details").forEach((details, i) => (details.open = open[i] ?? details.open));
  box.querySelectorAll(".scroll").forEach((region, i) => (region.scrollLeft = scrolled[i] ?? 0));
  box.dispatchEvent(new CustomEvent("pl:new", { bubbles: true }));
}

document.querySelectorAll('[data-behaviour~="live-fragment"]').forEach(liveFragment);
