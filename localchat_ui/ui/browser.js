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

  // Renaming happens where the title stands: Enter keeps the new one, Escape the old one.
  function rename(id) {
    const item = document.getElementById(id);
    const field = item.querySelector("input");
    item.classList.add("renaming");
    field.value = item.querySelector("a").title;
    field.select();
    focusLater(field);
  }

  function renameKey(event, emit) {
    if (event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
    if (event.key === "Enter") emit(event.target.value);
    event.stopPropagation();
    event.target.blur();
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

  // Keys. Which they are says the table in shortcuts.py, which arrives here as `localchat.shortcuts`.

  const mac = /mac|iphone|ipad/i.test(navigator.userAgentData?.platform ?? navigator.platform);
  const named = (name, within = document) =>
    [...within.querySelectorAll("button")].find((b) => (b.getAttribute("aria-label") ?? b.textContent.trim()) === name);

  // Each returns whether it did anything; otherwise the key stays the browser's.
  const actions = {
    newChat: () => press(named("New chat")),
    search() {
      const field = document.querySelector('[aria-label="Search conversations"]');
      if (!field) return false;
      if (!field.checkVisibility()) toggle("conversations", true);
      requestAnimationFrame(() => { field.focus(); field.select?.(); });
      return true;
    },
    toggleList() {
      toggle("conversations");
      return true;
    },
    stop(event) {
      // In another field Escape belongs to that field.
      const elsewhere = event.target !== box() && event.target.matches("textarea, input:not([readonly], [type=number])");
      const button = named("Stop");
      return !covered && !elsewhere && Boolean(button?.checkVisibility()) && press(button);
    },
    previousVersion: (event) => turn(event.target, "Previous version"),
    nextVersion: (event) => turn(event.target, "Next version"),
    help() {
      showDialog(document.getElementById("shortcuts"));
      return true;
    },
  };

  function onKey(event) {
    const composing = event.isComposing || event.keyCode === 229;
    // A closed dropdown prevents what Escape does by default, although it does nothing with it itself.
    const taken = event.defaultPrevented && event.key !== "Escape";
    const shortcut = !composing && !taken && (localchat.shortcuts ?? []).find((one) => fits(one, event));
    const dialog = document.querySelector("dialog[open], .q-dialog");
    const help = document.getElementById("shortcuts");
    if (!shortcut || (dialog && dialog !== help)) return;
    if (dialog && shortcut.mod) dialog.close(); // what is read there can be tried at once
    const closed = dialog && shortcut.action === "help";
    const again = shortcut.mod && event.repeat;
    if (closed || again || (!help.open && actions[shortcut.action](event))) event.preventDefault();
  }

  function fits({ key, mod, shift }, event) {
    const ours = mac ? event.metaKey && !event.ctrlKey : event.ctrlKey && !event.metaKey;
    const held = mod ? ours : !event.ctrlKey && !event.metaKey;
    // On some keyboards "/" needs Shift, and on some no key has a Latin letter: there its place counts.
    const pressed = /^[^\x00-\x7f]$/.test(event.key) ? event.code.replace(/^Key/, "") : event.key;
    return held && !event.altKey && (event.shiftKey === shift || key === "/") && pressed.toLowerCase() === key.toLowerCase();
  }

  function press(button) {
    button?.click();
    return Boolean(button);
  }

  // Whether a dialog, a menu or a panel lies over the page, as it was before anybody obeyed the key.
  let covered = false;
  function look() {
    const panel = !wide() && [document.body.dataset.conversations, document.body.dataset.settings].includes("open");
    covered = panel || Boolean(document.querySelector("dialog[open], .q-dialog, .q-menu"));
  }

  // Turns a message to another version. The focus goes with it, unless it has gone elsewhere meanwhile.
  function turn(target, name) {
    const article = target.closest("[role=log] article");
    const button = article && named(name, article);
    if (covered || !button || button.disabled || (target !== article && target.tagName !== "BUTTON")) return false;
    const place = articles().indexOf(article);
    const observer = new MutationObserver(() => {
      const other = articles()[place];
      if (article.isConnected || !other) return;
      observer.disconnect();
      if (![document.body, box(), null].includes(document.activeElement)) return;
      const same = named(target.getAttribute("aria-label"), other);
      (same && !same.disabled ? same : other).focus();
    });
    observer.observe(document.querySelector("[role=log]"), { childList: true, subtree: true });
    setTimeout(() => observer.disconnect(), 3000);
    button.click();
    return true;
  }

  const articles = () => [...document.querySelectorAll("[role=log] article")];

  // The field that wants the focus, if any, is marked by Quasar; otherwise the browser chooses.
  function showDialog(dialog) {
    dialog.showModal();
    dialog.querySelector("[data-autofocus]")?.select();
  }

  // A suggestion goes into the box as if it was typed; a whole one is sent.
  function suggest(text, whole) {
    const field = box();
    field.value = text;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.focus();
    if (whole) named("Send").click();
  }

  document.documentElement.dataset.platform = mac ? "mac" : "other";
  addEventListener("DOMContentLoaded", () => {
    const remembered = (panel, otherwise) => (wide() && localStorage.getItem("localchat." + panel)) || otherwise;
    document.body.dataset.conversations = remembered("conversations", wide() ? "open" : "closed");
    document.body.dataset.settings = remembered("settings", "closed");
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && closeOverlays()) event.stopPropagation();
    });
    document.addEventListener("keydown", look, true);
    document.addEventListener("keydown", onKey);
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

  return { submit, keydown, restore, follow, toEnd, toggle, mirror, closeOverlays, arrive, focusLater, rename, renameKey, copy, showDialog, suggest };
})();
