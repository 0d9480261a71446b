// Keyboard shortcuts. Which they are says the table in shortcuts.py, which arrives here as `localchat.shortcuts`.
localchat.keys = (() => {
  const { _, box, named } = localchat.page;

  const mac = /mac|iphone|ipad/i.test(navigator.userAgentData?.platform ?? navigator.platform);

  // Each returns whether it did anything; otherwise the key stays the browser's.
  const actions = {
    newChat: () => press(named(_("New chat"))),
    search() {
      const field = document.querySelector(".search input");
      if (!field) return false;
      if (!field.checkVisibility()) localchat.panels.toggle("conversations", true);
      // At once: whoever goes on typing means this field.
      field.focus();
      field.select();
      return true;
    },
    toggleList() {
      localchat.panels.toggle("conversations");
      return true;
    },
    // What is open closes before a reply is stopped, and menus and dialogs close by themselves.
    escape({ target }) {
      if (covered || (target.matches("[type=search]:not([role=combobox])") && target.value)) return false;
      if (localchat.panels.close(target)) return true;
      // In another field Escape belongs to that field.
      if (target !== box() && target.matches("textarea, input:not([readonly], [type=number], [role=combobox])")) return false;
      const stop = named(_("Stop"));
      if (stop?.checkVisibility()) return press(stop);
      if (!localchat.panels.isOpen("settings")) return false;
      localchat.panels.toggle("settings", false);
      return true;
    },
    previousVersion: (event) => turn(event.target, _("Previous version")),
    nextVersion: (event) => turn(event.target, _("Next version")),
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

  // Whether a dialog or a menu lies over the page, as it was before anybody obeyed the key.
  let covered = false;
  const look = () => (covered = Boolean(document.querySelector("dialog[open], .q-dialog, .q-menu, :popover-open")));

  // Turns the message to another version in which the focus is. The log hands the focus on.
  function turn(target, name) {
    const button = target.matches("[role=log] button") && named(name, target.closest("article"));
    return !covered && Boolean(button) && !button.disabled && press(button);
  }

  function listen() {
    document.documentElement.dataset.platform = mac ? "mac" : "other";
    document.addEventListener("keydown", look, true);
    document.addEventListener("keydown", onKey);
  }

  return { listen, mod: mac ? "⌘" : _("Ctrl") };
})();
