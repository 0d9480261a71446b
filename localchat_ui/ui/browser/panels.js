// The conversations and the settings: on a wide page they stand beside the transcript; on a phone they lie over it, one
// at a time. Which of them stand open, the stylesheet reads from the body.
localchat.panels = (() => {
  const { wide } = localchat.page;

  const PANELS = ["conversations", "settings"];
  const isOpen = (panel) => document.body.dataset[panel] === "open";
  const controls = (panel) => [...document.querySelectorAll(`[aria-controls="${panel}"]`)];

  function set(panel, open) {
    document.body.dataset[panel] = open ? "open" : "closed";
    controls(panel).forEach((button) => button.setAttribute("aria-expanded", open));
    if (open) document.getElementById(panel)?.dispatchEvent(new Event("open"));
  }

  function toggle(panel, open = !isOpen(panel)) {
    const element = document.getElementById(panel);
    const hadFocus = element.contains(document.activeElement);
    if (open && !wide()) PANELS.forEach((other) => set(other, false));
    set(panel, open);
    if (wide()) localStorage.setItem("localchat." + panel, document.body.dataset[panel]);
    if (!open && (!wide() || hadFocus)) controls(panel).find((button) => button.checkVisibility())?.focus();
    if (open && (!wide() || panel === "settings")) element.querySelector("button, input, a").focus();
  }

  // Closes what lies over the page or, on a wide page, the settings from which Escape comes. Returns whether there was any.
  function close(from) {
    const closes = (panel) => isOpen(panel) && (!wide() || (panel === "settings" && from?.closest("#settings")));
    const open = PANELS.filter(closes);
    open.forEach((panel) => toggle(panel, false));
    return open.length > 0;
  }

  function begin() {
    const defaults = { conversations: wide() ? "open" : "closed", settings: "closed" };
    for (const panel of PANELS) {
      document.body.dataset[panel] = (wide() && localStorage.getItem("localchat." + panel)) || defaults[panel];
    }
  }

  // The page is connected: its buttons tell what is open, and the server hears of it.
  const tell = () => PANELS.forEach((panel) => set(panel, isOpen(panel)));

  return { begin, tell, toggle, close, isOpen };
})();
