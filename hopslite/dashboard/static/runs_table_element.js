// The table of runs as an element of NiceGUI.
import { RunsTable } from "hopslite-dashboard/runs_table.js";

export default {
  template: '<div class="hl-grid hl-runs"></div>',
  mounted() {
    this.table = new RunsTable(this.$el, (ids) => this.$emit("chosen", ids));
    this.$emit("ready");
  },
  beforeUnmount() {
    this.table.dispose();
  },
  methods: {
    update(text) {
      const { changed, removed } = JSON.parse(text);
      this.table.update(changed, removed);
    },
    group(on) {
      this.table.group(on);
    },
    filter(text) {
      this.table.filter(text);
    },
  },
};
