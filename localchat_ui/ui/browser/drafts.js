// What is being written survives a reload and a restart of the program, for each conversation by itself.
localchat.drafts = (() => {
  const { box, place } = localchat.page;

  const key = (path) => place("draft", path);

  function keep() {
    const text = box().value;
    if (text) localStorage.setItem(key(), text);
    else localStorage.removeItem(key());
  }

  function show() {
    const field = box();
    const draft = localStorage.getItem(key());
    if (draft && !field.value) field.value = draft;
    localchat.composer.grow(field);
    localchat.attachments.load();
  }

  // A new conversation, begun at this path, got its own address; what is being written now belongs there.
  function settle(path) {
    localStorage.removeItem(key(path));
    keep();
    localchat.attachments.settle(path);
  }

  return { keep, show, settle };
})();
