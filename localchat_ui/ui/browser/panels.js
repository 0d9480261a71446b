// The conversations and the settings: on a wide page they stand beside the transcript; on a phone they lie over it, one
// at a time.
localchat.panels = (() => {
  const { wide } = localchat.page;

  const PANELS = ["conversations", "settings"];

  function toggle(panel, open) {
    const data = document.body.dataset;
    const shown = open ?? data[panel] !== "open";
    if (shown && !wide()) PANELS.forEach((other) => (data[other] = "closed"));
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
    for (const panel of PANELS) {
      const open = document.body.dataset[panel] === "open";
      document.querySelectorAll(`[aria-controls="${panel}"]`).forEach((b) => b.setAttribute("aria-expanded", open));
    }
  }

  function close() {
    if (wide()) return false;
    const open = PANELS.filter((panel) => document.body.dataset[panel] === "open");
    open.forEach((panel) => toggle(panel, false));
    return open.length > 0;
  }

  // Whether one lies over the page.
  const covering = () => !wide() && PANELS.some((panel) => document.body.dataset[panel] === "open");

  function begin() {
    const remembered = (panel, otherwise) => (wide() && localStorage.getItem("localchat." + panel)) || otherwise;
    document.body.dataset.conversations = remembered("conversations", wide() ? "open" : "closed");
    document.body.dataset.settings = remembered("settings", "closed");
  }

  return { begin, toggle, mirror, close, covering };
})();
