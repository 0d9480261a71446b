// The messages of a conversation. The server says what changed, and nothing else in the document is touched: neither
// Vue nor the browser pays for messages that stand above a growing one. All HTML in here was made safe by the server.

const NAMES = { user: "You", assistant: "Assistant" };

export default {
  props: { first: Array },
  emits: ["act", "save"],
  template: `<div role="log" aria-label="Conversation" aria-busy="false" @click="click"></div>`,
  mounted() {
    this.change(this.first);
  },
  methods: {
    // Operations as message.py makes them: a name, the id of a message, and what belongs to it.
    change(operations) {
      for (const [name, ...args] of operations) changes[name](this.$el, ...args);
    },
    click(event) {
      const button = event.target.closest("[data-action]");
      if (!button) return;
      const told = { ...button.dataset, id: button.closest("article").dataset.id };
      if (told.action === "copy") localchat.clipboard.copyMessage(button, () => this.$emit("act", told));
      else this.$emit("act", told);
    },
    // Puts a box in place of the words until they are saved, or not.
    edit(id, text, label) {
      const article = find(this.$el, id);
      if (!article || article.querySelector(".editor")) return;
      const box = make("textarea", { "aria-label": "Edit message", dir: "auto" });
      const kept = localchat.page.place("edit", id);
      box.value = localStorage.getItem(kept) ?? text;
      box.addEventListener("input", () => localStorage.setItem(kept, box.value));
      const hide = () => {
        editor.remove();
        article.classList.remove("editing");
        article.querySelector('[data-action="edit"]')?.focus();
      };
      const close = () => {
        localStorage.removeItem(kept);
        hide();
      };
      // Escape may be pressed by mistake: what was changed waits until the message is edited again.
      const leave = () => {
        if (box.value === text) return close();
        hide();
        const discard = () => localStorage.removeItem(kept);
        localchat.notices.show({ kind: "info", text: "Your edit is kept as a draft.", action: "Discard", then: discard });
      };
      const drop = () => {
        const draft = box.value;
        close();
        if (draft === text) return;
        const undo = () => {
          localStorage.setItem(kept, draft);
          this.edit(id, text, label);
        };
        localchat.notices.show({ kind: "info", text: "The edit was discarded.", action: "Undo", then: undo });
      };
      const save = () => {
        // While the connection is lost the text stays where it is.
        if (localchat.page.lost()) return;
        close();
        this.$emit("save", { id, text: box.value });
      };
      const cancel = make("button", { class: "text-button", type: "button" }, "Cancel");
      const done = make("button", { class: "text-button primary", type: "button" }, label);
      cancel.addEventListener("click", drop);
      done.addEventListener("click", save);
      const actions = make("div", { class: "editor-actions" }, cancel, done);
      const editor = make("div", { class: "editor" }, box, actions);
      editor.addEventListener("keydown", (event) => {
        if (event.isComposing) return;
        if (event.key === "Escape") leave();
        else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save();
        else return;
        event.preventDefault();
        event.stopPropagation();
      });
      article.classList.add("editing");
      article.append(editor);
      localchat.composer.openEditor(box);
    },
  },
};

const changes = {
  busy(log, busy) {
    log.setAttribute("aria-busy", busy);
  },
  put(log, id, place, { role, text, files, words, thinking, summary, footer, waiting }) {
    const body = make("div", { class: role === "user" ? "words" : "words markdown", dir: "auto" });
    const named = { id: `message-${id}`, "data-id": id, "aria-label": NAMES[role] };
    const attached = files.length ? [attachments(files)] : [];
    const below = make("div", { class: "footer" });
    const article = make("article", { class: `message ${role}`, ...named }, ...attached, body, below);
    log.insertBefore(article, articles(log)[place] ?? null);
    if (words) grow(body, words[0], 0, words[1]);
    else body.textContent = text;
    if (thinking) grow(thoughts(article), thinking[0], 0, thinking[1]);
    if (summary) changes.summary(log, id, summary);
    changes.footer(log, id, footer);
    changes.waiting(log, id, waiting);
  },
  drop(log, id) {
    const article = find(log, id);
    article?.remove();
    if (!article?.querySelector(".editor") || !localStorage.getItem(localchat.page.place("edit", id))) return;
    localchat.page.complain("Your unfinished edit is kept: edit that message again to go on with it.");
  },
  footer(log, id, html) {
    const footer = find(log, id).querySelector(":scope > .footer");
    footer.innerHTML = html;
    footer.querySelectorAll("time").forEach(tell);
  },
  summary(log, id, text) {
    thoughts(find(log, id)).parentElement.firstElementChild.textContent = text;
  },
  waiting(log, id, waiting) {
    const article = find(log, id);
    article.querySelector(":scope > .waiting")?.remove();
    if (waiting) article.lastElementChild.before(make("span", { class: "waiting", "aria-hidden": "true" }));
  },
  // A text goes on.
  words(log, id, finished, kept, rest) {
    grow(find(log, id).querySelector(":scope > .words"), finished, kept, rest);
  },
  thinking(log, id, finished, kept, rest) {
    grow(thoughts(find(log, id)), finished, kept, rest);
  },
  // From here on the model reads; what is above has no room in its context any more.
  unseen(log, id) {
    log.querySelector(":scope > .unseen-line")?.remove();
    const article = id && find(log, id);
    if (!article) return;
    article.before(make("div", { class: "unseen-line", role: "note" }, "The model no longer sees what is above."));
  },
};

// A moment as it is said where the browser is: today's by the clock, others with their day.
function tell(time) {
  const moment = new Date(time.dateTime);
  const clock = { hour: "numeric", minute: "2-digit" };
  const isToday = moment.toDateString() === new Date().toDateString();
  const day = isToday ? {} : { day: "numeric", month: "short", year: "numeric" };
  time.textContent = moment.toLocaleString("en", { ...day, ...clock });
  time.title = moment.toLocaleString("en", { dateStyle: "full", timeStyle: "medium" });
}

const articles = (log) => log.querySelectorAll(":scope > article");
const find = (log, id) => log.querySelector(`:scope > [data-id="${CSS.escape(id)}"]`);

function make(tag, attributes, ...content) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...content);
  return element;
}

// The files of a message, each to be opened: [name, note].
function attachments(files) {
  const chips = files.map(([name, note], index) => make("li", {},
    make("button", { class: "file", type: "button", "data-action": "file", "data-target": index },
      make("span", {}, name), make("small", {}, note))));
  return make("ul", { class: "files", "aria-label": "Files" }, ...chips);
}

// Where what a model thinks before it answers is written: folded, above the answer.
function thoughts(article) {
  const found = article.querySelector(":scope > .thinking > .thoughts");
  if (found) return found;
  const body = make("div", { class: "thoughts markdown", dir: "auto" });
  article.prepend(make("details", { class: "thinking" }, make("summary", {}), body));
  return body;
}

// Some HTML has become final, and of what was open so many characters stay, or all begins anew. Nodes of a body before
// `final` never change again; `open` is the HTML of those behind them.
function grow(body, finished, kept, rest) {
  const first = kept < 0 ? 0 : (body.final ?? 0);
  body.open = (body.open ?? "").slice(0, Math.max(kept, 0)) + rest;
  const added = parse(finished);
  morph(body, [...added, ...parse(body.open)], first);
  body.final = first + added.length;
}

const parser = document.createElement("template");
function parse(html) {
  parser.innerHTML = html;
  return [...parser.content.childNodes];
}

// Makes the children from `first` on like `wanted`, and leaves alone what is alike: a selection in it stays, and
// little has to be laid out anew.
function morph(parent, wanted, first = 0) {
  const found = [...parent.childNodes].slice(first);
  wanted.forEach((node, index) => {
    const old = found[index];
    if (!old) parent.append(node);
    else if (old.nodeType === Node.TEXT_NODE && node.nodeType === Node.TEXT_NODE) {
      if (node.data.startsWith(old.data)) old.appendData(node.data.slice(old.length));
      else old.data = node.data;
    } else if (old.isEqualNode(node)) return;
    else if (old.nodeName === node.nodeName && old.cloneNode().isEqualNode(node.cloneNode())) {
      morph(old, [...node.childNodes]);
    } else old.replaceWith(node);
  });
  found.slice(wanted.length).forEach((node) => node.remove());
}
