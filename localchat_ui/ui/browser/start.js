// What happens when a page opens, and when another conversation is opened in it.
localchat.start = (() => {
  const { _, box, touch, say } = localchat.page;

  addEventListener("DOMContentLoaded", () => {
    localchat.panels.begin();
    localchat.look.apply();
    localchat.keys.listen();
    localchat.focus.keep();
    localchat.clipboard.listen();
    localchat.previews.listen();
    localchat.speech.listen();
    localchat.composer.listen();
    // The page was drawn by now, and opens at its end without waiting for the server.
    const view = document.querySelector(".scroller");
    if (!view) return;
    localchat.scrolling.follow(view);
    localchat.drafts.show();
  });

  addEventListener("popstate", () => emitEvent("navigate", location.pathname));

  // Another conversation stands on the page: its end is in sight and its box ready. On a touch screen the keyboard
  // stays down until the box is tapped.
  function arrive() {
    box().value = "";
    localchat.found.clear();
    localchat.drafts.show();
    localchat.panels.close();
    localchat.scrolling.toEnd();
    if (!touch()) box().focus();
  }

  // The server's first word: the page and its connection stand.
  function connected() {
    localchat.panels.tell();
    localchat.sent.begin();
    // NiceGUI shows it, and tells no screen reader.
    window.socket.on("disconnect", () => say(_("Connection lost. Trying to reconnect.")));
    window.socket.on("connect", () => say(_("Reconnected.")));
  }

  return { arrive, connected };
})();
