// The rows of the conversation list with their one menu. All texts are put in as text: titles are written by anybody.

const { _ } = localchat.page;
const WRITING = _("A reply is being written");
const EMPTY = _("Your conversations appear here. They stay on this machine.");

// A row is drawn again only when something in its memo changed.
const Group = {
  props: ["name", "rows", "selected", "renaming", "draft", "root"],
  emits: ["draft"],
  template: `
    <section class="group" :aria-label="name">
      <h2 class="group-name">
        <svg v-if="rows[0].pinned" viewBox="0 0 24 24" aria-hidden="true"><path d="M9 4h6l-.7 6 3.2 3.5h-11l3.2-3.5zM12 13.5V20"/></svg>{{ name }}
      </h2>
      <ul>
        <li v-for="row in rows" :key="row.id" v-memo="[row, selected === row.id, renaming === row.id && draft]"
            class="conversation" :class="{ selected: selected === row.id }" :data-id="row.id">
          <input v-if="renaming === row.id" class="rename" type="text" maxlength="80" :aria-label="rename(row)"
                 :value="draft" @input="$emit('draft', $event.target.value)" />
          <template v-else>
            <a class="conversation-link" :href="root + '/c/' + row.id" :title="row.title"
               :aria-current="selected === row.id ? 'page' : null">
              <span class="title" dir="auto">{{ row.title }}</span>
              <span v-if="row.writing" class="writing" role="img" aria-label="${WRITING}"></span>
            </a>
            <button class="conversation-more" type="button" aria-haspopup="menu" :title="actions(row)" :aria-label="actions(row)">
              <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M5.5 12h.01M12 12h.01M18.5 12h.01"/></svg>
            </button>
          </template>
        </li>
      </ul>
    </section>`,
  methods: {
    rename: (row) => _("Title of {title}", row),
    actions: actionsName,
  },
};

function actionsName(row) {
  return _("Actions for {title}", row);
}

export default {
  components: { Group },
  props: { rows: Array, selected: String, more: Boolean, root: String },
  emits: ["open", "more", "act"],
  data() {
    return {
      // Frozen, so that Vue watches the list and not each of its rows.
      shown: Object.freeze([...this.rows]),
      current: this.selected,
      hasMore: this.more,
      renaming: null,
      draft: "",
      menu: { open: false, row: null, target: false },
    };
  },
  template: `
    <div @click="click" @keydown="keydown" @focusout="focusout">
      <p v-if="!shown.length" class="list-empty">${EMPTY}</p>
      <Group v-for="group in groups" :key="group.name" v-bind="group" :selected="current" :renaming="renaming"
             :draft="draft" :root="root" @draft="draft = $event" />
      <div ref="end"></div>
      <q-menu v-model="menu.open" :target="menu.target" no-parent-event no-refocus anchor="bottom end" self="top end"
              :aria-label="menu.row && actionsName(menu.row)" @keydown="menuKey" @escape-key="refocus">
        <div v-if="menu.row" class="menu" ref="menu" role="none">
          <button v-for="[name, label] in actions" :key="name" type="button" role="menuitem" class="menu-item"
                  :class="{ danger: name === 'delete' }" @click.stop="act(name)">{{ label }}</button>
        </div>
      </q-menu>
    </div>`,
  computed: {
    groups() {
      const groups = new Map();
      for (const row of this.shown) {
        if (!groups.has(row.group)) groups.set(row.group, []);
        groups.get(row.group).push(row);
      }
      return [...groups].map(([name, rows]) => ({ name, rows: Object.freeze(rows) }));
    },
    actions() {
      return [
        this.menu.row.pinned ? ["unpin", _("Unpin")] : ["pin", _("Pin")],
        ["rename", _("Rename")],
        ["markdown", _("Export as Markdown")],
        ["html", _("Export as HTML")],
        ["json", _("Export as JSON")],
        ["delete", _("Delete")],
      ];
    },
  },
  watch: {
    rows(rows) {
      this.shown = Object.freeze([...rows]);
    },
  },
  mounted() {
    // Of several reports at once only the last is how it is now.
    this.observer = new IntersectionObserver((entries) => entries.at(-1).isIntersecting && this.load(), {
      root: this.$el.parentElement,
      rootMargin: "0px 0px 600px 0px",
    });
    this.observer.observe(this.$refs.end);
  },
  unmounted() {
    this.observer.disconnect();
  },
  methods: {
    actionsName,
    // The server's side: rows to put in their place, ids to drop, and whether there are more.
    async apply(puts, drops, more) {
      const taken = new Set([...drops, ...puts.map(([, row]) => row.id)]);
      const rows = this.shown.filter((row) => !taken.has(row.id));
      for (const [index, row] of puts) rows.splice(index, 0, Object.freeze(row));
      const focus = this.focused();
      this.drawing = true;
      this.shown = Object.freeze(rows);
      this.hasMore = more;
      this.loading = false;
      const row = this.menu.row && rows.find((row) => row.id === this.menu.row.id);
      if (this.menu.row) this.menu.row = row ?? this.menu.row;
      if (this.menu.open && !row) this.menu.open = false;
      if (this.renaming && !rows.some((row) => row.id === this.renaming)) this.renaming = null;
      await this.$nextTick();
      this.drawing = false;
      // A row that moved between two headings is a new element.
      if (focus && !focus.element.isConnected) this.find(focus.id, focus.selector)?.focus();
      else if (focus && document.activeElement !== focus.element) focus.element.focus({ preventScroll: true });
      if (more) {
        this.observer.unobserve(this.$refs.end);
        this.observer.observe(this.$refs.end);
      }
    },
    select(id) {
      this.current = id;
    },
    load() {
      if (!this.hasMore || this.loading) return;
      this.loading = true;
      this.$emit("more");
    },
    find(id, selector) {
      return this.$el.querySelector(`[data-id="${CSS.escape(id)}"] ${selector}`);
    },
    focused() {
      const element = document.activeElement;
      const item = this.$el.contains(element) && element.closest("[data-id]");
      return item ? { element, id: item.dataset.id, selector: "." + element.classList[0] } : null;
    },
    // A plain click stays on this page; with a modifier, or the middle button, the browser opens the link as usual.
    click(event) {
      const item = event.target.closest("[data-id]");
      if (!item) return;
      if (event.target.closest(".conversation-more")) this.openMenu(item, event);
      if (!event.target.closest("a") || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.$emit("open", { id: item.dataset.id });
    },
    async openMenu(item, event) {
      this.menu.row = this.shown.find((row) => row.id === item.dataset.id);
      this.menu.target = item.querySelector(".conversation-more");
      await this.$nextTick();
      this.menu.open = true;
      await this.$nextTick();
      // A press of a key, not of a button: the keyboard goes on from the first entry.
      if (event.detail === 0) setTimeout(() => this.$refs.menu?.firstElementChild.focus(), 50);
    },
    menuKey(event) {
      localchat.focus.walk(event, [...this.$refs.menu.children]);
      if (event.key !== "Tab") return;
      event.preventDefault();
      this.menu.open = false;
      this.refocus();
    },
    refocus() {
      this.menu.target?.focus?.();
    },
    async act(name) {
      const row = this.menu.row;
      this.menu.open = false;
      await this.$nextTick();
      if (name === "rename") return this.rename(row);
      this.refocus();
      this.$emit("act", { id: row.id, action: name });
    },
    // Renaming happens where the title stands: Enter keeps the new one, Escape the old one.
    async rename(row) {
      this.draft = row.title;
      this.renaming = row.id;
      await this.$nextTick();
      const field = this.find(row.id, "input");
      field?.focus();
      field?.select();
    },
    keydown(event) {
      if (event.target.matches(".rename")) this.renameKey(event);
      else localchat.focus.walk(event, [...this.$el.querySelectorAll(".conversation-link")]);
    },
    async renameKey(event) {
      if (event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
      event.stopPropagation();
      event.preventDefault();
      const id = this.renaming;
      const title = event.target.value.trim();
      const before = this.shown.find((row) => row.id === id)?.title;
      if (event.key === "Enter" && title && title !== before) this.$emit("act", { id, action: "rename", title });
      this.renaming = null;
      await this.$nextTick();
      this.find(id, ".conversation-link")?.focus();
    },
    focusout(event) {
      if (event.target.matches(".rename") && !this.drawing && document.hasFocus()) this.renaming = null;
    },
  },
};
