// What the model does, and how full the context is. The server tells it twice a second while a reply is written.
const { _ } = localchat.page;
const STATUS = _("Status");

export default {
  props: { state: Object },
  emits: ["context"],
  data() {
    return { now: this.state };
  },
  template: `
    <div class="status-row">
      <div class="status" role="status" aria-label="${STATUS}" :aria-live="now.quiet ? 'off' : 'polite'">{{ now.text }}</div>
      <button v-if="now.context" class="gauge" type="button" :aria-label="now.context" :title="now.context"
              @click="$emit('context')">
        <span class="gauge-fill" :style="{ '--used': now.used }"></span>
      </button>
    </div>`,
  methods: {
    show(state) {
      this.now = state;
    },
  },
};
