// Search as one types. Matches come as parts of text and are put in as text; nothing here is ever HTML.
const { _ } = localchat.page;
const SEARCH_CONVERSATIONS = _("Search conversations");
const SEARCH = _("Search");
const CLEAR = _("Clear search");
const FOUND = _("Found conversations");
const PAUSE = 150;

const Parts = {
  props: ["parts"],
  template: `<template v-for="[text, isMatch] in parts"><mark v-if="isMatch">{{ text }}</mark><template v-else>{{ text }}</template></template>`,
};

export default {
  components: { Parts },
  props: { root: String },
  emits: ["search", "open"],
  data: () => ({ query: "", hits: null, outcome: "", error: "" }),
  created() {
    this.ticket = 0;
  },
  template: `
    <div class="search" :class="{ searching: query.trim() }" @keydown="keydown">
      <div class="search-box">
        <svg viewBox="0 0 24 24" aria-hidden="true"><circle cx="11" cy="11" r="6"/><path d="M15.5 15.5 20 20"/></svg>
        <input ref="box" v-model="query" type="search" aria-label="${SEARCH_CONVERSATIONS}" placeholder="${SEARCH}"
               maxlength="300" autocomplete="off" spellcheck="false" enterkeyhint="search" @input="input" />
        <button v-if="query" type="button" aria-label="${CLEAR}" title="${CLEAR}" @click="clear">
          <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M6 6l12 12M18 6L6 18"/></svg>
        </button>
      </div>
      <p class="search-outcome" role="status">{{ outcome }}</p>
      <p v-if="error" class="search-error" role="alert">{{ error }}</p>
      <ul v-if="hits && hits.length" class="hits" aria-label="${FOUND}">
        <li v-for="hit in hits" :key="hit.id">
          <a class="hit" :href="root + '/c/' + hit.id" @click="open($event, hit)">
            <span class="hit-title" dir="auto"><Parts :parts="hit.title" /></span>
            <span v-if="hit.text.length" class="hit-text" dir="auto"><Parts :parts="hit.text" /></span>
          </a>
        </li>
      </ul>
    </div>`,
  methods: {
    // The server's side
    show(ticket, hits, outcome) {
      if (ticket !== this.ticket) return;
      this.hits = Object.freeze(hits);
      this.error = "";
      this.outcome = outcome;
    },
    fail(ticket, error) {
      if (ticket !== this.ticket) return;
      this.hits = null;
      this.outcome = "";
      this.error = error;
    },
    input(event) {
      clearTimeout(this.timer);
      this.ticket++;  // what is asked for now makes the answers still under way stale
      this.query = event.target.value;  // in the middle of a composition, too
      if (this.query.trim()) this.timer = setTimeout(this.ask, PAUSE);
      else this.forget();
    },
    ask() {
      clearTimeout(this.timer);
      this.timer = null;
      this.$emit("search", { query: this.query, ticket: this.ticket });
    },
    forget() {
      this.hits = null;
      this.outcome = this.error = "";
    },
    clear() {
      localchat.found.clear();
      clearTimeout(this.timer);
      this.ticket++;
      this.query = "";
      this.forget();
      this.$refs.box.focus();
    },
    keydown(event) {
      if (event.isComposing) return;
      const links = [...this.$el.querySelectorAll(".hit")];
      if (event.key === "Escape" && this.query) {
        event.preventDefault();
        event.stopPropagation();  // the list itself stays open
        this.clear();
      } else if (event.key === "Enter" && event.target === this.$refs.box) {
        if (this.timer) this.ask();
        else links[0]?.click();
      } else {
        localchat.focus.walk(event, [this.$refs.box, ...links]);
      }
    },
    open(event, hit) {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.$emit("open", { id: hit.id, message: hit.message, query: this.query });
    },
  },
};
