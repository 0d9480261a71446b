// The messages of a conversation. The server says what changed, and nothing else in the document is touched: neither
// Vue nor the browser pays for messages that stand above a growing one. All HTML in here was made safe by the server.

const { _ } = localchat.page;
const MORE = _("More actions");
const NAMES = { user: _("You"), assistant: _("Assistant"), system: _("System prompt"), tool: _("Tool") };

export default {
  props: { first: Array, menu: Array, label: String, menuId: String },
  emits: ["act", "save"],
  // The browser's own popover: it closes by itself, and gives the focus back.
  template: `
    <div>
      <div ref="log" role="log" :aria-label="label" aria-busy="false" @click="click"></div>
      <div ref="menu" :id="menuId" class="menu message-menu" popover role="menu" aria-label="${MORE}"
           @click="choose" @keydown="walk" @toggle="opened">
        <button v-for="[action, label] in menu" :key="action" type="button" role="menuitem" class="menu-item"
                :class="action" :data-action="action" :popovertarget="menuId">{{ label }}</button>
      </div>
    </div>`,
  mounted() {
    this.change(this.first);
  },
  methods: {
    // Operations as message.py makes them: a name, the id of a message, and what belongs to it.
    change(operations) {
      const { log } = this.$refs;
      const handOn = held(log);
      for (const [name, ...args] of operations) changes[name](log, ...args);
      handOn();
    },
    // A touch screen shows the actions of a message when it is tapped.
    click(event) {
      const article = event.target.closest("article");
      this.$refs.log.querySelector(".tapped")?.classList.remove("tapped");
      article?.classList.add("tapped");
      const button = event.target.closest("[data-action], .more");
      if (button?.matches(".more")) this.offer(article, button.dataset.offers.split(" "));
      else if (button) this.act(article, button);
    },
    offer(article, offers) {
      this.article = article;
      const isSpeaking = article.matches(".speaking");
      for (const item of this.$refs.menu.children) {
        item.hidden = !offers.includes(item.dataset.action);
        if (item.dataset.action === "speak") item.textContent = isSpeaking ? _("Stop reading") : _("Read aloud");
      }
    },
    opened(event) {
      if (event.newState === "open") this.items()[0].focus();
    },
    items() {
      return [...this.$refs.menu.children].filter((item) => item.checkVisibility());
    },
    walk(event) {
      localchat.focus.walk(event, this.items());
    },
    choose(event) {
      const item = event.target.closest("[data-action]");
      if (item) this.act(this.article, item);
    },
    act(article, button) {
      const told = { ...button.dataset, id: article.dataset.id };
      if (told.action.startsWith("copy")) localchat.clipboard.copyMessage(article, () => this.$emit("act", told));
      else if (told.action === "speak") localchat.speech.read(article);
      else this.$emit("act", told);
    },
    // Puts a box in place of the words until they are saved, or not.
    edit(id, text, isQuestion) {
      const article = find(this.$refs.log, id);
      if (!article || article.querySelector(".editor")) return;
      // One at a time; what was written in the other one is kept for when it is edited again.
      this.$refs.log.querySelector(".editor")?.putAway();
      const box = make("textarea", { "aria-label": _("Edit message"), dir: "auto" });
      const fromBox = document.activeElement === localchat.page.box();
      const kept = localchat.page.place("edit", id);
      box.value = localStorage.getItem(kept) ?? text;
      box.addEventListener("input", () => localStorage.setItem(kept, box.value));
      const putAway = () => {
        editor.remove();
        article.classList.remove("editing");
        // Back to where the person came from: an arrow key in the message box, or the button.
        (fromBox ? localchat.page.box() : article.querySelector('[data-action="edit"]'))?.focus();
      };
      const close = () => {
        localStorage.removeItem(kept);
        putAway();
      };
      // Escape may be pressed by mistake: what was changed waits until the message is edited again.
      const leave = () => {
        if (box.value === text) return close();
        putAway();
        const discard = () => localStorage.removeItem(kept);
        localchat.notices.show({ kind: "info", text: _("Your edit is kept as a draft."), action: _("Discard"), then: discard });
      };
      const drop = () => {
        const draft = box.value;
        close();
        if (draft === text) return;
        const undo = () => {
          localStorage.setItem(kept, draft);
          this.edit(id, text, isQuestion);
        };
        localchat.notices.show({ kind: "info", text: _("The edit was discarded."), action: _("Undo"), then: undo });
      };
      const save = () => {
        // While the connection is lost the text stays where it is.
        if (localchat.page.lost()) return;
        close();
        this.$emit("save", { id, text: box.value });
      };
      const cancel = make("button", { class: "text-button", type: "button" }, _("Cancel"));
      const done = make("button", { class: "text-button primary", type: "button" }, isQuestion ? _("Send") : _("Save"));
      cancel.addEventListener("click", drop);
      done.addEventListener("click", save);
      const hint = isQuestion ? _("Esc to cancel, {mod}+Enter to send", localchat.keys) : _("Esc to cancel, {mod}+Enter to save", localchat.keys);
      const keys = make("span", { class: "hint only-keyboard" }, hint);
      const actions = make("div", { class: "editor-actions" }, keys, cancel, done);
      const editor = Object.assign(make("div", { class: "editor" }, box, actions), { putAway });
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
    if (busy !== (log.ariaBusy === "true")) localchat.away.busy(busy);
    log.setAttribute("aria-busy", busy);
  },
  put(log, id, place, { role, text, html, files, words, thinking, summary, footer, waiting, language }) {
    // The blocks of a reply say themselves when they run from right to left.
    const kind = role === "assistant" ? { class: "words markdown", dir: "ltr" } : { class: "words", dir: "auto" };
    const body = make("div", kind);
    const named = { id: `message-${id}`, "data-id": id, "aria-label": NAMES[role] };
    const attached = files.length ? [attachments(files)] : [];
    const below = make("div", { class: "footer" });
    const article = make("article", { class: `message ${role}`, ...named }, ...attached, body, below);
    article.style.setProperty("--place", place);  // for logs that stand side by side
    log.insertBefore(article, articles(log)[place] ?? null);
    if (words) grow(body, words[0], 0, words[1]);
    else if (html) body.innerHTML = html;
    else body.textContent = text;
    if (thinking) grow(thoughts(article), thinking[0], 0, thinking[1]);
    if (summary) changes.summary(log, id, summary);
    changes.footer(log, id, footer);
    changes.waiting(log, id, waiting);
    changes.language(log, id, language);
  },
  drop(log, id) {
    const article = find(log, id);
    article?.remove();
    if (!article?.querySelector(".editor") || !localStorage.getItem(localchat.page.place("edit", id))) return;
    localchat.page.complain(_("Your unfinished edit is saved. Edit the message again to continue."));
  },
  footer(log, id, html) {
    const footer = find(log, id).querySelector(":scope > .footer");
    footer.innerHTML = html;
    footer.querySelectorAll("time").forEach(tell);
  },
  // A reply as its tokens, in place of its words, until it is the words again.
  tokens(log, id, html) {
    const article = find(log, id);
    article.querySelector(":scope > .tokens-view")?.remove();
    article.classList.toggle("as-tokens", Boolean(html));
    article.querySelector('[data-action="tokens"]')?.setAttribute("aria-pressed", Boolean(html));
    if (!html) return;
    const view = make("div", { class: "tokens-view" });
    view.innerHTML = html;
    view.addEventListener("keydown", step);
    article.querySelector(":scope > .words").before(view);
  },
  alternatives(log, id, number, html) {
    const view = find(log, id).querySelector(":scope > .tokens-view");
    view.querySelectorAll(".token-text .token").forEach((token, n) => token.classList.toggle("chosen", n === number));
    view.querySelector(".alternatives").innerHTML = html;
  },
  summary(log, id, text) {
    thoughts(find(log, id)).parentElement.firstElementChild.textContent = text;
  },
  language(log, id, language) {
    for (const body of find(log, id).querySelectorAll(":scope > .words, :scope > .thinking")) {
      if (language) body.lang = language;
      else body.removeAttribute("lang");
    }
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
    article.before(make("div", { class: "unseen-line", role: "note" }, _("The model no longer sees anything above this line.")));
  },
};

// The arrow keys go from token to token, so that the Tab key passes them as one.
function step(event) {
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const tokens = [...event.currentTarget.querySelectorAll(".token-text .token")];
  const next = tokens[tokens.indexOf(event.target) + (by ?? 0)];
  if (!by || !tokens.includes(event.target) || !next) return;
  event.preventDefault();
  event.target.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

// A moment as it is said where the browser is: today's by the clock, others with their day.
function tell(time) {
  const moment = new Date(time.dateTime);
  const clock = { hour: "numeric", minute: "2-digit" };
  const isToday = moment.toDateString() === new Date().toDateString();
  const day = isToday ? {} : { day: "numeric", month: "short", year: "numeric" };
  time.textContent = moment.toLocaleString(localchat.page.locales(), { ...day, ...clock });
  time.title = moment.toLocaleString(localchat.page.locales(), { dateStyle: "full", timeStyle: "medium" });
}

const articles = (log) => log.querySelectorAll(":scope > article");
const find = (log, id) => log.querySelector(`:scope > [data-id="${CSS.escape(id)}"]`);

function make(tag, attributes, ...content) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...content);
  return element;
}

// A message may be replaced by another version of it, and what stands below it is drawn anew. The focus goes on to the
// same button there, or to one beside it.
function held(log) {
  const focused = document.activeElement;
  const place = log.contains(focused) ? [...articles(log)].indexOf(focused.closest("article")) : -1;
  return () => {
    if (place < 0 || focused.isConnected) return;
    for (const action of [focused.dataset.action, "previous", "next"]) {
      articles(log)[place]?.querySelector(`[data-action="${action}"]:enabled`)?.focus({ preventScroll: true });
      if (log.contains(document.activeElement)) return;
    }
  };
}

// The files of a message, each to be opened: [name, note].
function attachments(files) {
  const chips = files.map(([name, note], index) => make("li", {},
    make("button", { class: "file", type: "button", "data-action": "file", "data-target": index },
      make("span", {}, name), make("small", {}, note))));
  return make("ul", { class: "files", "aria-label": _("Files") }, ...chips);
}

// Where what a model thinks before it answers is written: folded, above the answer.
function thoughts(article) {
  const found = article.querySelector(":scope > .thinking > .thoughts");
  if (found) return found;
  const body = make("div", { class: "thoughts markdown", dir: "ltr" });
  const { lang } = article.querySelector(":scope > .words");
  article.prepend(make("details", { class: "thinking", ...(lang && { lang }) }, make("summary", {}), body));
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
    if (old?.nodeName === "DETAILS" && node.nodeName === "DETAILS") node.open = old.open;
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
