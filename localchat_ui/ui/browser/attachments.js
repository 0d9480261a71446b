// Files that go with the next message. The server reads their text; until they are sent they are kept here.
localchat.attachments = (() => {
  const { _, box, place, complain, kilobytes } = localchat.page;

  // Those of the conversation that is open: [{ id, name, size, text, n_tokens, share }]. They stay with its draft. One
  // without a text is on its way, and so much of it is there.
  const key = (path) => place("files", path);
  let attached = [];

  async function add(files) {
    const all = [...files].map((file) => [{ id: String(Math.random()), name: file.name, size: file.size, share: 0 }, file]);
    attached.push(...all.map(([entry]) => entry));
    changed();
    for (const [entry, file] of all) await read(entry, file);
  }

  async function read(entry, file) {
    const begun = location.pathname;
    const show = (share) => {
      entry.share = share;
      draw();
    };
    try {
      Object.assign(entry, await localchat.upload.send("/upload/file", file, show));
    } catch (error) {
      remove(entry);
      waiting = null;
      return complain(error.message);
    }
    if (begun !== location.pathname && !attached.includes(entry)) return keepElsewhere(entry, begun);
    changed();
    if (waiting && !isReading()) waiting();
  }

  // Another conversation was opened meanwhile; it waits where it was attached.
  function keepElsewhere(entry, path) {
    const there = JSON.parse(localStorage.getItem(key(path)) ?? "[]");
    keep([...there, entry], path);
  }

  // Calls back once all files are there; whoever asked before does not any more.
  let waiting = null;
  const isReading = () => attached.some(({ text }) => text === undefined);
  function whenRead(then) {
    waiting = () => {
      waiting = null;
      then();
    };
  }

  function remove(entry) {
    attached = attached.filter((other) => other !== entry);
    changed();
  }

  // The server says what a file costs when it has read it.
  function note({ size, text, share, note }) {
    if (text === undefined) return share < 1 ? `${Math.round(100 * share)} %` : _("Reading…");
    return note ?? kilobytes(size);
  }

  function draw() {
    document.querySelector(".attachments")?.replaceChildren(...attached.map((file) => {
      const item = document.createElement("li");
      const remover = make("button", "remove", "×");
      remover.setAttribute("aria-label", _("Remove {name}", file));
      remover.onclick = () => { remove(file); box().focus(); };
      const chip = make("button", "file", make("span", "", file.name), make("small", "", note(file)));
      chip.disabled = file.text === undefined;
      chip.onclick = () => open({ ...file, note: note(file) });
      item.append(chip, remover);
      return item;
    }));
    document.body.dataset.attached = attached.length > 0;
  }

  function make(tag, name, ...content) {
    const element = document.createElement(tag);
    if (tag === "button") element.type = "button";
    if (name) element.className = name;
    element.append(...content);
    return element;
  }

  // Shows the text of a file beside the page; of one that was sent the server tells it.
  function open({ name, note, text }) {
    const sheet = document.getElementById("file-sheet");
    sheet.querySelector("h2").textContent = name;
    sheet.querySelector(".file-note").textContent = note;
    sheet.querySelector("pre").textContent = text;
    sheet.showModal();
    sheet.querySelector("pre").scrollTop = 0;
  }

  function listen() {
    const isFile = (event) => event.dataTransfer?.types.includes("Files");
    document.addEventListener("dragover", (event) => {
      if (!isFile(event)) return;
      event.preventDefault();
      document.body.dataset.dropping = "true";
    });
    document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) delete document.body.dataset.dropping; });
    document.addEventListener("drop", (event) => {
      if (!isFile(event)) return;
      event.preventDefault();
      delete document.body.dataset.dropping;
      add(event.dataTransfer.files);
    });
    box().addEventListener("paste", (event) => {
      if (event.clipboardData.files.length) { event.preventDefault(); add(event.clipboardData.files); }
    });
  }

  const sendable = ({ name, size, text, n_tokens }) => ({ name, size, text, n_tokens });
  const files = () => attached.map(sendable);

  // Gives files back that could not be sent.
  function restore(files) {
    attached.push(...files.map((file) => ({ id: String(Math.random()), ...file })));
    changed();
  }

  function clear() {
    attached = [];
    changed();
  }

  function changed() {
    keep(attached);
    draw();
  }

  function keep(entries, path = location.pathname) {
    const whole = entries.filter(({ text }) => text !== undefined);
    try {
      if (whole.length) localStorage.setItem(key(path), JSON.stringify(whole));
      else localStorage.removeItem(key(path));
    } catch {
      // More than the browser keeps; they last as long as the page.
    }
  }

  function load() {
    // Those that an older version has kept have no size.
    attached = JSON.parse(localStorage.getItem(key()) ?? "[]").filter(({ size }) => size !== undefined);
    waiting = null;
    draw();
  }

  function settle(path) {
    localStorage.removeItem(key(path));
    changed();
  }

  return { add, open, files, isReading, whenRead, restore, clear, load, settle, listen };
})();
