// The box to write in: it hands over, empties and grows its text here, and keeps drafts.
localchat.composer = (() => {
  const { box, touch, named, complain } = localchat.page;

  // The socket refuses messages of a million bytes.
  const MOST_BYTES = 900000;

  // Hands the text over and empties the box here, so that what is typed next is never eaten.
  function submit(emit) {
    const field = box();
    const files = localchat.attachments;
    const text = [field.value.trim() && field.value, ...files.texts()].filter(Boolean).join("\n\n");
    // While the connection is lost the text stays in the box. Before the first one stands NiceGUI keeps what is sent.
    const lost = window.did_handshake && !window.socket.connected;
    if (!text.trim() || lost) return;
    if (new Blob([text]).size > MOST_BYTES) return complain("This message is too long to be sent at once.");
    field.value = "";
    files.clear();
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

  function send(emit) {
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

  // What is being written survives a reload and a restart of the program.
  const DRAFT = "localchat.draft:";
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

  // A suggestion goes into the box as if it was typed; a whole one is sent.
  function suggest(text, whole) {
    const field = box();
    field.value = text;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.focus();
    if (whole) named("Send").click();
  }

  function openEditor(field) {
    grow(field, innerHeight / 2);
    field.addEventListener("input", () => grow(field, innerHeight / 2));
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
  }

  function listen() {
    document.addEventListener("input", (event) => {
      if (event.target !== box()) return;
      grow(event.target);
      keepDraft();
    });
  }

  return { send, stop, keydown, restore, suggest, showDraft, settleDraft, openEditor, listen };
})();
