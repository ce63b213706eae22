// The page of a run as an element of NiceGUI.
import { RunView } from "hopslite-dashboard";

export default {
  template: '<div class="hl-run"></div>',
  props: { runId: String, allowed: Boolean },
  mounted() {
    const actions = { allowed: this.allowed, stop: () => this.$emit("stop"), resume: () => this.$emit("resume") };
    this.view = new RunView(this.$el, this.runId, actions, (revision) => this.$emit("synced", revision));
    this.$el.view = this.view; // for tests and for the console
  },
  beforeUnmount() {
    this.view.dispose();
  },
  methods: {
    apply(text) {
      this.view?.apply(text);
    },
    reload() {
      this.view?.load();
    },
  },
};
