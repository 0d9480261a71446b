// What must happen in the browser at once, without asking the server.
window.localchat = (() => {
  const box = () => document.querySelector('textarea[aria-label="Message"]');
  const wide = () => matchMedia("(min-width: 900px)").matches;
  const touch = () => matchMedia("(pointer: coarse)").matches;
  // The socket refuses messages of a million bytes.
  const MOST_BYTES = 900000;
  const MOST_FILE_BYTES = 300000;

  // Hands the text over and empties the box here, so that what is typed next is never eaten.
  function submit(emit) {
    const field = box();
    const text = [field.value.trim() && field.value, ...attached.map((file) => file.text)].filter(Boolean).join("\n\n");
    // While the connection is lost the text stays in the box. Before the first one stands NiceGUI keeps what is sent.
    const lost = window.did_handshake && !window.socket.connected;
    if (!text.trim() || lost) return;
    if (new Blob([text]).size > MOST_BYTES) return complain("This message is too long to be sent at once.");
    field.value = "";
    attached.length = 0;
    showAttached();
    keepDraft();
    grow(field);
    field.focus();
    emit(text);
  }

  // Stop takes the place of Send: the second click of a double click is not meant for it.
  let clickedAt = -Infinity;
  function stop(event, emit) {
    if (!event.isTrusted || performance.now() - clickedAt > 500) emit();
  }

  function click(emit) {
    clickedAt = performance.now();
    submit(emit);
  }

  function keydown(event, emit) {
    const composing = event.isComposing || event.keyCode === 229;
    if (event.key === "ArrowUp" && !composing && !event.target.value) recall(event);
    if (event.key !== "Enter" || event.shiftKey || composing || touch()) return;
    event.preventDefault();
    submit(emit);
  }

  // Brings the last message back into the empty box.
  function recall(event) {
    const last = [...document.querySelectorAll("article.user .words")].at(-1);
    if (!last) return;
    event.preventDefault();
    restore(last.textContent);
  }

  // Files whose text joins the next message: { id, name, size, note, text }.
  const attached = [];
  function attach(files, count) {
    for (const file of files) read(file, count);
  }

  async function read(file, count) {
    const size = `${Math.max(1, Math.round(file.size / 1000)).toLocaleString("en-US")} kB`;
    if (file.size > MOST_FILE_BYTES) return complain(`${file.name} is too long: ${size}, and 300 kB are the most.`);
    let text;
    try {
      text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    } catch {
      text = "\0";
    }
    if (text.includes("\0")) return complain(`${file.name} is not a text file.`);
    const fence = "`".repeat(Math.max(3, ...(text.match(/`+/g) ?? []).map((ticks) => ticks.length + 1)));
    const kind = /\.([a-z0-9]+)$/i.exec(file.name)?.[1] ?? "";
    const whole = `${file.name}:\n${fence}${kind}\n${text.replace(/\n$/, "")}\n${fence}`;
    const entry = { id: String(Math.random()), name: file.name, note: size, text: whole };
    attached.push(entry);
    showAttached();
    count({ id: entry.id, text: whole });
  }

  // The server's answer: how many tokens a file has, or why it is too long.
  function counted(id, note, refusal) {
    const place = attached.findIndex((file) => file.id === id);
    if (place < 0) return;
    if (refusal) complain(`${attached.splice(place, 1)[0].name}: ${refusal}`);
    else attached[place].note += ` · ${note}`;
    showAttached();
  }

  function showAttached() {
    const list = document.querySelector(".attachments");
    list.replaceChildren(...attached.map((file) => {
      const item = document.createElement("li");
      const name = document.createElement("span");
      name.textContent = file.name;
      const note = document.createElement("small");
      note.textContent = file.note;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "×";
      button.setAttribute("aria-label", `Remove ${file.name}`);
      button.onclick = () => { attached.splice(attached.indexOf(file), 1); showAttached(); box().focus(); };
      item.append(name, note, button);
      return item;
    }));
    document.body.dataset.attached = attached.length > 0;
  }

  function complain(text) {
    const place = document.querySelector(".refusal");
    place.textContent = text;
    clearTimeout(place.timer);
    place.timer = setTimeout(() => (place.textContent = ""), 10000);
  }

  function listenForFiles(count) {
    const isFile = (event) => event.dataTransfer?.types.includes("Files");
    document.addEventListener("dragover", (event) => {
      if (!isFile(event)) return;
      event.preventDefault();
      document.body.dataset.dropping = "true";
    });
    document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) delete document.body.dataset.dropping; });
    document.addEventListener("drop", (event) => {
      if (!isFile(event)) return;
      event.preventDefault();
      delete document.body.dataset.dropping;
      attach(event.dataTransfer.files, count);
    });
    box().addEventListener("paste", (event) => {
      if (event.clipboardData.files.length) { event.preventDefault(); attach(event.clipboardData.files, count); }
    });
  }

  // What is being written survives a reload and a restart of the program.
  // Of each person their own: several may use this browser one after the other.
  const DRAFT = `localchat.draft:${document.documentElement.dataset.owner ?? ""}`;
  const draftKey = () => DRAFT + location.pathname;
  function keepDraft() {
    const text = box().value;
    if (text) localStorage.setItem(draftKey(), text);
    else localStorage.removeItem(draftKey());
  }

  function showDraft() {
    const field = box();
    const draft = localStorage.getItem(draftKey());
    if (draft && !field.value) field.value = draft;
    grow(field);
  }

  // A new conversation got its own address; what is being written now belongs there.
  function settleDraft() {
    localStorage.removeItem(DRAFT + "/");
    keepDraft();
  }

  function grow(field, most = innerHeight / 3) {
    field.style.height = "auto";
    field.style.height = Math.min(field.scrollHeight, most) + "px";
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
  let fromEnd = null;
  function follow(element) {
    scroller = element;
    let last = 0;
    scroller.addEventListener("scroll", () => {
      const distance = scroller.scrollHeight - scroller.clientHeight - scroller.scrollTop;
      if (scroller.scrollTop < last - 1) pinned = false;
      if (distance < 24) pinned = true;
      last = scroller.scrollTop;
      tellDistance();
    }, { passive: true });
    scroller.addEventListener("wheel", (event) => { if (event.deltaY < 0) pinned = false; }, { passive: true });
    const settle = () => {
      if (pinned) toEnd();
      else if (fromEnd !== null) scroller.scrollTop = scroller.scrollHeight - fromEnd;
      tellDistance();
    };
    new ResizeObserver(settle).observe(scroller.firstElementChild);
    new ResizeObserver(settle).observe(scroller);
    // Coming near the top brings the messages above; what is being read stays where it is meanwhile.
    const earlier = document.querySelector(".earlier");
    earlier.addEventListener("click", () => {
      fromEnd = scroller.scrollHeight - scroller.scrollTop;
      setTimeout(() => (fromEnd = null), 1000);
    });
    new IntersectionObserver((seen) => {
      if (seen.at(-1).isIntersecting && !pinned) earlier.click();
    }, { root: scroller, rootMargin: "400px 0px 0px" }).observe(earlier);
    showDraft();
  }

  function tellDistance() {
    const distance = scroller.scrollHeight - scroller.clientHeight - scroller.scrollTop;
    document.body.dataset.away = !pinned && distance > 120;
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
    box().value = "";
    showDraft();
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
    // Whether an element was left or vanished shows only after the event.
    document.addEventListener("focusout", ({ target }) => setTimeout(() => {
      if (focused === target && target.checkVisibility() && document.activeElement !== target) focused = null;
    }));
    new MutationObserver(() => {
      if (!focused || focused.checkVisibility()) return;
      focused = null;
      if (!touch()) box()?.focus();
    }).observe(document.body, { subtree: true, childList: true, attributeFilter: ["class", "style"] });
  }

  // The buttons of messages are plain HTML: what is pressed is told to the server, with the message it belongs to.
  function act(event, emit) {
    const button = event.target.closest("[data-action]");
    if (!button) return;
    const told = { ...button.dataset, id: button.closest("article").dataset.id };
    if (told.action === "copy") copyMessage(button, () => emit(told));
    else emit(told);
  }

  // Some browsers copy only what was begun in the click itself, so the clipboard gets a promise of the server's answer.
  let deliver = () => {};
  async function copyMessage(button, ask) {
    const text = new Promise((resolve) => (deliver = resolve));
    ask();
    let copied;
    try {
      const blob = text.then((words) => new Blob([words], { type: "text/plain" }));
      await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
      copied = true;
    } catch {
      copied = await copy(await text);
    }
    say(copied ? "Copied" : "Not copied");
    if (!copied) return complain("The browser does not allow copying here. Select the text instead.");
    button.dataset.action = "copied";
    setTimeout(() => (button.dataset.action = "copy"), 2000);
  }

  function openEditor(field) {
    grow(field, innerHeight / 2);
    field.addEventListener("input", () => grow(field, innerHeight / 2));
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
  }

  function editKey(event, emit) {
    const editor = event.target.closest(".editor");
    if (event.key === "Escape") editor.querySelector("button").click();
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) emit(event.target.value);
    else return;
    event.preventDefault();
    event.stopPropagation();
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
      const names = target === article ? [] : [target.getAttribute("aria-label"), "Previous version", "Next version"];
      const buttons = names.map((one) => named(one, other));
      (buttons.find((one) => one && !one.disabled) ?? other).focus();
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
      const inMenu = document.querySelector(".q-menu");  // which closes first, and by itself
      if (event.key === "Escape" && !inMenu && closeOverlays()) event.stopPropagation();
    });
    document.addEventListener("keydown", look, true);
    document.addEventListener("keydown", onKey);
    keepFocus();
    // The page was drawn by now, and opens at its end without waiting for the server.
    const view = document.querySelector(".scroller");
    if (view) follow(view);
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

  return { click, stop, keydown, restore, settleDraft, toEnd, toggle, mirror, closeOverlays, arrive, focusLater, walk, reach, copy,
    act, deliver: (text) => deliver(text), openEditor, editKey, attach, counted, listenForFiles, showDialog, suggest };
})();
