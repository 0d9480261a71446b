// What must happen in the browser at once, without asking the server.
window.localchat = (() => {
  const box = () => document.querySelector('textarea[aria-label="Message"]');
  const wide = () => matchMedia("(min-width: 900px)").matches;
  const touch = () => matchMedia("(pointer: coarse)").matches;

  // Hands the text over and empties the box here, so that what is typed next is never eaten.
  function submit(emit) {
    const field = box();
    const text = field.value;
    // While the connection is lost the text stays in the box. Before the first one stands NiceGUI keeps what is sent.
    const lost = window.did_handshake && !window.socket.connected;
    if (!text.trim() || document.body.dataset.writing === "true" || lost) return;
    field.value = "";
    keepDraft();
    grow(field);
    field.focus();
    emit(text);
  }

  function keydown(event, emit) {
    const composing = event.isComposing || event.keyCode === 229;
    if (event.key !== "Enter" || event.shiftKey || composing || touch()) return;
    event.preventDefault();
    submit(emit);
  }

  // What is being written survives a reload and a restart of the program.
  const draftKey = () => "localchat.draft:" + location.pathname;
  function keepDraft() {
    const text = box().value;
    if (text) localStorage.setItem(draftKey(), text);
    else localStorage.removeItem(draftKey());
  }

  function grow(field) {
    field.style.height = "auto";
    field.style.height = Math.min(field.scrollHeight, innerHeight / 3) + "px";
  }

  // Gives a message back that could not be sent, in front of what was typed meanwhile.
  function restore(text) {
    const field = box();
    field.value = field.value ? text + "\n" + field.value : text;
    keepDraft();
    grow(field);
  }

  // Follows the text while the reader is at the bottom; any move upwards lets go.
  let pinned = true;
  let scroller = null;
  function follow(element) {
    scroller = element;
    let last = 0;
    scroller.addEventListener("scroll", () => {
      const distance = scroller.scrollHeight - scroller.clientHeight - scroller.scrollTop;
      if (scroller.scrollTop < last - 1) pinned = false;
      if (distance < 24) pinned = true;
      last = scroller.scrollTop;
    }, { passive: true });
    scroller.addEventListener("wheel", (event) => { if (event.deltaY < 0) pinned = false; }, { passive: true });
    new ResizeObserver(() => pinned && toEnd()).observe(scroller.firstElementChild);
    new ResizeObserver(() => pinned && toEnd()).observe(scroller);
    const draft = localStorage.getItem(draftKey());
    if (draft && !box().value) restore(draft);
  }

  function toEnd() {
    pinned = true;
    scroller?.scrollTo({ top: scroller.scrollHeight, behavior: "instant" });
  }

  // On a wide page the side panels stand beside the transcript; on a phone they lie over it, one at a time.
  function toggle(panel, open) {
    const data = document.body.dataset;
    const shown = open ?? data[panel] !== "open";
    if (shown && !wide()) ["conversations", "settings"].forEach((other) => (data[other] = "closed"));
    data[panel] = shown ? "open" : "closed";
    if (wide()) localStorage.setItem("localchat." + panel, data[panel]);
    mirror();
    const element = document.getElementById(panel);
    if (!shown && (!wide() || element.contains(document.activeElement))) opener(panel)?.focus();
    if (shown && (panel === "settings" || !wide())) {
      requestAnimationFrame(() => element.querySelector("button, input, a").focus());
    }
  }

  const opener = (panel) =>
    [...document.querySelectorAll(`[aria-controls="${panel}"]`)].find((button) => button.checkVisibility());

  function mirror() {
    for (const panel of ["conversations", "settings"]) {
      const open = document.body.dataset[panel] === "open";
      document.querySelectorAll(`[aria-controls="${panel}"]`).forEach((b) => b.setAttribute("aria-expanded", open));
    }
  }

  function closeOverlays() {
    if (wide()) return false;
    const open = ["conversations", "settings"].filter((panel) => document.body.dataset[panel] === "open");
    open.forEach((panel) => toggle(panel, false));
    return open.length > 0;
  }

  // Another conversation stands on the page: its end is in sight and its box ready. On a touch screen the keyboard
  // stays down until the box is tapped.
  function arrive() {
    closeOverlays();
    toEnd();
    if (!touch()) box().focus();
  }

  // Menus give the focus back to where it was while they close; this comes after.
  const focusLater = (element) => setTimeout(() => element.focus(), 200);

  // Focus whose element vanishes goes to the box instead of nowhere.
  let focused = null;
  function keepFocus() {
    document.addEventListener("focusin", (event) => (focused = event.target));
    document.addEventListener("focusout", (event) => { if (event.target.checkVisibility()) focused = null; });
    new MutationObserver(() => {
      if (!focused || focused.checkVisibility()) return;
      focused = null;
      if (!touch()) box()?.focus();
    }).observe(document.body, { subtree: true, childList: true, attributeFilter: ["class", "style"] });
  }

  // The arrow keys, Home and End move along a list of elements.
  function walk(event, elements) {
    const at = elements.indexOf(document.activeElement);
    const last = elements.length - 1;
    const isText = event.target.matches("input");
    const to = { ArrowDown: Math.min(at + 1, last), ArrowUp: Math.max(at - 1, 0), Home: 0, End: last }[event.key];
    if (to === undefined || last < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    if (isText && ["Home", "End"].includes(event.key)) return;
    event.preventDefault();
    elements[to].focus();
  }

  // Shows a message of the conversation that was just opened, if it is on the page; a search has found it.
  function reach(id, patience = 20) {
    const message = document.getElementById("message-" + id);
    if (!message && patience) return void setTimeout(() => reach(id, patience - 1), 50);
    if (!message) return;
    pinned = false;
    message.scrollIntoView({ block: "start" });
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const soft = getComputedStyle(document.body).getPropertyValue("--accent-soft");
    message.animate([{ backgroundColor: soft, boxShadow: `0 0 0 0.5rem ${soft}` }, {}], { duration: 1600, easing: "ease-in" });
  }

  // The clipboard proper is there on HTTPS and on this machine alone; elsewhere a field that nobody sees is copied.
  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      return copySelected(text);
    }
  }

  function copySelected(text) {
    const before = document.activeElement;
    const field = document.createElement("textarea");
    field.value = text;
    field.readOnly = true;
    field.className = "unseen";
    document.body.append(field);
    field.focus({ preventScroll: true });
    field.select();
    const copied = document.execCommand("copy");
    before?.focus({ preventScroll: true });
    field.remove();
    return copied;
  }

  // Long code stands in several figures, which are copied as the one that they look like.
  async function copyCode(button) {
    const figures = [...button.closest(".markdown").querySelectorAll("figure.code")];
    let place = figures.indexOf(button.closest("figure"));
    let text = figures[place].querySelector("code").textContent;
    while (figures[++place]?.classList.contains("more")) text += figures[place].querySelector("code").textContent;
    const outcome = (await copy(text)) ? "Copied" : "Not copied";
    button.textContent = outcome;
    say(outcome);
    clearTimeout(button.timer);
    button.timer = setTimeout(() => (button.textContent = "Copy"), 2000);
  }

  // Tells a screen reader. The text comes a moment after its element, or it is not read out.
  function say(text) {
    let status = document.getElementById("said");
    if (!status) {
      status = document.createElement("div");
      status.id = "said";
      status.className = "unseen";
      status.setAttribute("role", "status");
      document.body.append(status);
    }
    status.textContent = "";
    setTimeout(() => (status.textContent = text), 100);
  }

  addEventListener("DOMContentLoaded", () => {
    const remembered = (panel, otherwise) => (wide() && localStorage.getItem("localchat." + panel)) || otherwise;
    document.body.dataset.conversations = remembered("conversations", wide() ? "open" : "closed");
    document.body.dataset.settings = remembered("settings", "closed");
    document.addEventListener("keydown", (event) => {
      const inMenu = document.querySelector(".q-menu");  // which closes first, and by itself
      if (event.key === "Escape" && !inMenu && closeOverlays()) event.stopPropagation();
    });
    keepFocus();
    document.addEventListener("click", (event) => {
      const button = event.target.closest(".copy-code");
      if (button) copyCode(button);
    });
    document.addEventListener("input", (event) => {
      if (event.target !== box()) return;
      grow(event.target);
      keepDraft();
    });
  });
  addEventListener("popstate", () => emitEvent("navigate", location.pathname));

  return { submit, keydown, restore, follow, toEnd, toggle, mirror, closeOverlays, arrive, focusLater, walk, reach, copy };
})();
