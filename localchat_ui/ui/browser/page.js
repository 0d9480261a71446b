// What the other files ask about the page, and how they tell a person something.
window.localchat = {};
localchat.page = (() => {
  // What is done before the first connection stands waits, and NiceGUI lets each event wait by a timer of its own: a
  // later one may overtake, and a box then holds what it held a letter ago. The socket keeps what it is given in order,
  // and the handshake is part of its connection, unless the page was fetched ahead of being asked for.
  let shookHands = false;
  Object.defineProperty(window, "did_handshake", {
    get: () => shookHands || window.socket?.io.opts.query.implicit_handshake === true,
    set: (value) => (shookHands = value),
  });
  // There was a connection and there is none now; before the first one, what is handed over waits for it.
  const lost = () => shookHands && !window.socket.connected;

  // A text in the visitor's language, with values in it. The page brings those of other languages than English.
  const _ = (text, values = {}) =>
    (window.localchatTexts?.[text] ?? text).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
  // How dates and numbers are written: as the browser's people do, if they speak the language of the page.
  const locales = () => {
    const { lang } = document.documentElement;
    return [...navigator.languages.filter((each) => each.split("-")[0] === lang.split("-")[0]), lang];
  };

  const box = () => document.getElementById("message");
  const wide = () => matchMedia("(min-width: 900px)").matches;
  const touch = () => matchMedia("(pointer: coarse)").matches;
  const named = (name, within = document) =>
    [...within.querySelectorAll("button")].find((b) => (b.getAttribute("aria-label") ?? b.textContent.trim()) === name);

  // Where the browser keeps something of a conversation. Of each person their own: several may use this browser one
  // after the other.
  const place = (kind, path = location.pathname) =>
    `localchat.${kind}:${document.documentElement.dataset.owner ?? ""}${path}`;

  const kilobytes = (bytes) => _("{n} kB", { n: Math.max(1, Math.round(bytes / 1000)).toLocaleString(locales()) });

  const complain = (text) => localchat.notices.show({ text });

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

  return { _, locales, lost, box, wide, touch, named, place, kilobytes, complain, say };
})();
