// Keyboard shortcuts. Which they are says the table in shortcuts.py, which arrives here as `localchat.shortcuts`.
localchat.keys = (() => {
  const { box, named } = localchat.page;

  const mac = /mac|iphone|ipad/i.test(navigator.userAgentData?.platform ?? navigator.platform);

  // Each returns whether it did anything; otherwise the key stays the browser's.
  const actions = {
    newChat: () => press(named("New chat")),
    search() {
      const field = document.querySelector('[aria-label="Search conversations"]');
      if (!field) return false;
      if (!field.checkVisibility()) localchat.panels.toggle("conversations", true);
      requestAnimationFrame(() => { field.focus(); field.select?.(); });
      return true;
    },
    toggleList() {
      localchat.panels.toggle("conversations");
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
      localchat.focus.showDialog(document.getElementById("shortcuts"));
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
    covered = localchat.panels.covering() || Boolean(document.querySelector("dialog[open], .q-dialog, .q-menu"));
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

  function listen() {
    document.documentElement.dataset.platform = mac ? "mac" : "other";
    document.addEventListener("keydown", look, true);
    document.addEventListener("keydown", onKey);
  }

  return { listen };
})();
