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
  const draftKey = () => "localchat.draft:" + location.pathname;
  function keepDraft() {
    const text = box().value;
    if (text) localStorage.setItem(draftKey(), text);
    else localStorage.removeItem(draftKey());
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
      document.body.dataset.away = !pinned && distance > 200;
      last = scroller.scrollTop;
    }, { passive: true });
    scroller.addEventListener("wheel", (event) => { if (event.deltaY < 0) pinned = false; }, { passive: true });
    const settle = () => {
      if (pinned) toEnd();
      else if (fromEnd !== null) scroller.scrollTop = scroller.scrollHeight - fromEnd;
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

  addEventListener("DOMContentLoaded", () => {
    const remembered = (panel, otherwise) => (wide() && localStorage.getItem("localchat." + panel)) || otherwise;
    document.body.dataset.conversations = remembered("conversations", wide() ? "open" : "closed");
    document.body.dataset.settings = remembered("settings", "closed");
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && closeOverlays()) event.stopPropagation();
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

  return { submit, keydown, restore, follow, toEnd, toggle, mirror, closeOverlays, arrive, focusLater, rename, renameKey, copy,
    act, deliver: (text) => deliver(text), openEditor, editKey, attach, counted, listenForFiles };
})();
