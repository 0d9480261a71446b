// What the page tells a person: a stack of notices over the conversation, each kind with its own colour and voice.
// The server shows some, the browser's own functions others, by `localchat.notices`. Texts are put in as text.
const { _ } = localchat.page;
const NOTICES = _("Notices");
const DISMISS = _("Dismiss");
const SHORT = 6000;
const WITH_ACTION = 15000;
const MOST = 4;
const ICONS = {
  info: "M12 11v5M12 8h.01M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17",
  success: "M5 12.5l4.5 4.5L19 7.5",
  warning: "M12 4L3 19.5h18zM12 10v4.5M12 17h.01",
  error: "M12 7.5v5.5M12 16.3h.01M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17",
};

export default {
  props: { first: Array },
  emits: ["act", "gone"],
  data() {
    return { items: [], icons: ICONS };
  },
  template: `
    <div class="notices" role="status" aria-label="${NOTICES}" aria-atomic="false">
      <div v-for="item in items" :key="item.id" class="notice" :class="item.kind" :role="isUrgent(item) ? 'alert' : null"
           @mouseenter="hold(item)" @mouseleave="release(item)" @focusin="held($event, item)" @focusout="release(item)">
        <svg viewBox="0 0 24 24" aria-hidden="true"><path :d="icons[item.kind]" /></svg>
        <div class="notice-text" dir="auto">{{ item.text }}</div>
        <div v-if="item.share === undefined" class="notice-actions">
          <button v-if="item.action" class="text-button" type="button" @click="act(item)">{{ item.action }}</button>
          <button class="dismiss" type="button" aria-label="${DISMISS}" title="${DISMISS}" @click="dismiss(item)">
            <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M6 6l12 12M18 6L6 18" /></svg>
          </button>
        </div>
        <progress v-else :value="item.share" max="1" :aria-label="item.text"></progress>
      </div>
    </div>`,
  created() {
    this.timers = new Map();
  },
  mounted() {
    localchat.notices = {
      show: (item) => this.show({ id: item.text, kind: "error", isLocal: true, ...item }),
      // What went wrong before does not matter any more; the server takes away its own.
      clear: () => this.drop(this.items.filter(({ kind, isLocal }) => isLocal && kind === "error").map(({ id }) => id)),
    };
    this.first.forEach(this.show);
  },
  methods: {
    // { id, kind, text } with an `action`, a `share` of something under way, or `focus` on the action.
    async show(item) {
      const at = this.items.findIndex(({ id, text }) => id === item.id || text === item.text);
      if (at >= 0) this.stop(this.items.splice(at, 1, item)[0]);
      else this.items.push(item);
      while (this.items.length > MOST) this.dismiss(this.items.find((one) => !this.isUrgent(one)) ?? this.items[0]);
      this.release(item);
      if (!item.focus) return;
      await this.$nextTick();
      localchat.focus.later([...this.$el.querySelectorAll(".text-button")].at(-1));
    },
    drop(ids) {
      this.items.filter(({ id }) => ids.includes(id)).forEach(this.stop);
      this.items = this.items.filter(({ id }) => !ids.includes(id));
    },
    isUrgent: ({ kind }) => kind === "error" || kind === "warning",
    act(item) {
      this.drop([item.id]);
      if (item.then) item.then();
      else this.$emit("act", { id: item.id });
    },
    dismiss(item) {
      this.drop([item.id]);
      this.$emit("gone", { id: item.id });
    },
    // Good news goes by itself, but not under somebody's pointer or keyboard.
    release(item) {
      this.stop(item);
      if (this.isUrgent(item) || item.share !== undefined || !this.items.includes(item)) return;
      this.timers.set(item.id, setTimeout(() => this.dismiss(item), item.action ? WITH_ACTION : SHORT));
    },
    held(event, item) {
      if (event.target.matches(":focus-visible")) this.hold(item);
    },
    hold(item) {
      this.stop(item);
    },
    stop(item) {
      clearTimeout(this.timers.get(item.id));
    },
  },
};
