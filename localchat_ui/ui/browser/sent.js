// Messages that were handed over and not confirmed yet. One that is lost on its way, because the program ended or the
// connection broke before either of them noticed, comes back into the box.
localchat.sent = (() => {
  const { _, box, place, complain } = localchat.page;

  const SHOWN_AFTER = 500;
  const LOST_AFTER = 5000;

  // Of this tab alone, reloads included: [{ ticket, path, text, files }].
  const all = () => JSON.parse(sessionStorage.getItem(place("sent", "")) ?? "[]");
  function keep(messages) {
    try {
      sessionStorage.setItem(place("sent", ""), JSON.stringify(messages));
    } catch {
      // Too much to be kept; it is on its way all the same.
    }
  }

  // What was sent since this page was loaded. Before its first connection stands, NiceGUI keeps it.
  const ours = new Set();

  function add(text, files) {
    const ticket = String(Math.random());
    ours.add(ticket);
    keep([...all(), { ticket, path: location.pathname, text, files }]);
    setTimeout(show, SHOWN_AFTER);
    return ticket;
  }

  // The server's answer: the message stands in the conversation, or was given back.
  function confirm(ticket) {
    keep(all().filter((message) => message.ticket !== ticket));
    show();
  }

  // Says what is still on its way when that takes a moment.
  function show() {
    const first = all()[0];
    const text = first && (first.text || first.files[0].name).slice(0, 80);
    document.querySelector(".sending").textContent = first ? _("Sending “{text}”…", { text }) : "";
  }

  // The page has its first connection: what was handed over before a reload does not arrive any more.
  function begin() {
    giveBack(all().filter(({ ticket }) => !ours.has(ticket)));
    window.socket.on("connect", () => {
      const before = all();
      const stillLost = () => before.filter(({ ticket }) => all().some((message) => message.ticket === ticket));
      setTimeout(() => giveBack(stillLost()), LOST_AFTER);
    });
  }

  function giveBack(messages) {
    const lost = messages.filter(({ path }) => path === location.pathname);
    keep(all().filter(({ ticket }) => !lost.some((message) => message.ticket === ticket)));
    show();
    const sign = (text, names) => JSON.stringify([text.trim(), ...names]);
    const names = (article) => [...article.querySelectorAll(".file span")].map((name) => name.textContent);
    const said = [...document.querySelectorAll("article.user")].map((article) =>
      sign(article.querySelector(".words").textContent, names(article)));
    const back = lost.filter(({ text, files }) => !said.includes(sign(text, files.map(({ name }) => name))));
    if (!back.length) return;
    const texts = back.map(({ text }) => text).filter(Boolean);
    localchat.composer.restore(texts.join("\n\n"), back.flatMap(({ files }) => files));
    complain(_("The connection was lost before this message was sent. It is back in the box."));
    box().focus();
  }

  return { add, confirm, begin };
})();
