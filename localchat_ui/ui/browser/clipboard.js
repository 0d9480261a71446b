// Copying, with and without the browser's permission.
localchat.clipboard = (() => {
  const { _, complain, say } = localchat.page;

  // Some browsers copy only what was begun in the click itself, so the clipboard gets a promise of the server's answer.
  let deliver = () => {};
  async function copyMessage(article, ask) {
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
    say(copied ? _("Copied") : _("Not copied"));
    if (!copied) return complain(_("The browser does not allow copying here. Select the text instead."));
    const button = article.querySelector('[data-action="copy"]');
    if (!button) return;
    button.dataset.action = "copied";
    setTimeout(() => (button.dataset.action = "copy"), 2000);
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

  // Long code stands in several figures, which are one to whoever reads it.
  function pieces(button) {
    const figures = [...button.closest(".markdown").querySelectorAll("figure.code")];
    const place = figures.indexOf(button.closest("figure"));
    const others = figures.slice(place + 1);
    const stop = others.findIndex((figure) => !figure.classList.contains("more"));
    return [figures[place], ...(stop < 0 ? others : others.slice(0, stop))];
  }

  async function copyCode(button) {
    const text = pieces(button).map((piece) => piece.querySelector("code").textContent).join("");
    const outcome = (await copy(text)) ? _("Copied") : _("Not copied");
    button.textContent = outcome;
    say(outcome);
    clearTimeout(button.timer);
    button.timer = setTimeout(() => (button.textContent = _("Copy")), 2000);
  }

  function listen() {
    document.addEventListener("click", (event) => {
      const button = event.target.closest(".copy-code");
      if (button) copyCode(button);
    });
  }

  return { copy, copyMessage, pieces, deliver: (text) => deliver(text), listen };
})();
