// The box to write in: it hands over, empties and grows its text here.
localchat.composer = (() => {
  const { _, box, touch, named, complain, say, kilobytes, lost } = localchat.page;

  // The socket refuses messages of a million bytes.
  const MOST_BYTES = 900000;

  // Hands the text over and empties the box here, so that what is typed next is never eaten.
  function submit(emit) {
    const field = box();
    const attachments = localchat.attachments;
    const text = field.value.trim() && field.value;
    const files = attachments.files();
    if ((!text && !files.length) || lost()) return;  // while the connection is lost the text stays in the box
    if (attachments.isReading()) {
      attachments.whenRead(() => submit(emit));
      return say(_("It is sent when the files are read."));
    }
    const size = new Blob([JSON.stringify([text, files])]).size;
    const most = kilobytes(MOST_BYTES);
    if (size > MOST_BYTES) return complain(_("This message is too long: {size}, and {most} are the most.", { size: kilobytes(size), most }));
    write("");
    localchat.notices.clear();
    attachments.clear();
    field.focus();
    emit({ text, files, ticket: localchat.sent.add(text, files) });
  }

  // Puts a text into the box as if it was typed, so that it can be undone.
  function write(text) {
    const field = box();
    if (document.activeElement === field) {
      field.select();
      if (text) document.execCommand("insertText", false, text);
      else document.execCommand("delete");
    }
    if (field.value !== text) field.value = text;
    changed();
  }

  function changed() {
    grow(box());
    localchat.drafts.keep();
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
    if (event.key === "ArrowUp" && !composing && !event.target.value) editLast(event);
    if (event.key !== "Enter" || event.shiftKey || composing || touch()) return;
    event.preventDefault();
    submit(emit);
  }

  function editLast(event) {
    const edit = [...document.querySelectorAll('article.user [data-action="edit"]')].at(-1);
    if (!edit?.checkVisibility()) return;  // while a reply is written nothing is edited
    event.preventDefault();
    edit.click();
  }

  function grow(field, most = innerHeight / 3) {
    field.style.height = "auto";
    field.style.height = Math.min(field.scrollHeight, most) + "px";
  }

  // Gives a message back that could not be sent, in front of what was typed meanwhile.
  function restore(text, files = []) {
    const typed = box().value;
    write(typed && text ? text + "\n" + typed : typed || text);
    localchat.attachments.restore(files);
  }

  // A suggestion goes into the box as if it was typed; a whole one is sent.
  function suggest(text, whole) {
    box().focus();
    write(text);
    if (whole) named(_("Send")).click();
  }

  function openEditor(field) {
    grow(field, innerHeight / 2);
    field.addEventListener("input", () => grow(field, innerHeight / 2));
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
  }

  function listen() {
    document.addEventListener("input", (event) => {
      if (event.target === box()) changed();
    });
  }

  return { send, stop, keydown, grow, restore, suggest, openEditor, listen };
})();
