// Text files whose text joins the next message. They are read here; the server only counts their tokens.
localchat.attachments = (() => {
  const { box, place, complain, kilobytes } = localchat.page;

  const MOST_BYTES = 300000;

  // Those of the conversation that is open: [{ id, name, note, text }]. They stay with its draft.
  const key = (path) => place("files", path);
  let attached = [];
  function add(files, count) {
    for (const file of files) read(file, count);
  }

  async function read(file, count) {
    const size = kilobytes(file.size);
    if (file.size > MOST_BYTES) return complain(`${file.name} is too long: ${size}, and ${kilobytes(MOST_BYTES)} are the most.`);
    let text;
    try {
      text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    } catch {
      text = "\0";
    }
    if (text.includes("\0")) return complain(`${file.name} is not a text file.`);
    const fence = "`".repeat(Math.max(3, ...(text.match(/`+/g) ?? []).map((ticks) => ticks.length + 1)));
    const kind = /\.([a-z0-9]+)$/i.exec(file.name)?.[1] ?? "";
    const whole = `${file.name}:\n${fence}${kind}\n${text.replace(/\n$/, "")}\n${fence}`;
    const entry = { id: String(Math.random()), name: file.name, note: size, text: whole };
    attached.push(entry);
    changed();
    count({ id: entry.id, text: whole });
  }

  // The server's answer: how many tokens a file has, or why it is too long.
  function counted(id, note, refusal) {
    const index = attached.findIndex((file) => file.id === id);
    if (index < 0) return;
    if (refusal) complain(`${attached.splice(index, 1)[0].name}: ${refusal}`);
    else attached[index].note += ` · ${note}`;
    changed();
  }

  function show() {
    const list = document.querySelector(".attachments");
    list.replaceChildren(...attached.map((file) => {
      const item = document.createElement("li");
      const name = document.createElement("span");
      name.textContent = file.name;
      const note = document.createElement("small");
      note.textContent = file.note;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "×";
      button.setAttribute("aria-label", `Remove ${file.name}`);
      button.onclick = () => { attached.splice(attached.indexOf(file), 1); changed(); box().focus(); };
      item.append(name, note, button);
      return item;
    }));
    document.body.dataset.attached = attached.length > 0;
  }

  function listen(count) {
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
      add(event.dataTransfer.files, count);
    });
    box().addEventListener("paste", (event) => {
      if (event.clipboardData.files.length) { event.preventDefault(); add(event.clipboardData.files, count); }
    });
  }

  const texts = () => attached.map((file) => file.text);

  function clear() {
    attached = [];
    changed();
  }

  function changed() {
    try {
      if (attached.length) localStorage.setItem(key(), JSON.stringify(attached));
      else localStorage.removeItem(key());
    } catch {
      // More than the browser keeps; they last as long as the page.
    }
    show();
  }

  function load() {
    attached = JSON.parse(localStorage.getItem(key()) ?? "[]");
    show();
  }

  function settle(path) {
    localStorage.removeItem(key(path));
    changed();
  }

  return { add, counted, texts, clear, load, settle, listen };
})();
