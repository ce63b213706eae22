// A table of texts with a filter, sorted by a click on a column's name. Cells become text nodes.
const MOST_SHOWN = 500;

function isNumber(text) {
  return text.trim() !== "" && Number.isFinite(Number(text));
}

export default {
  template: `<div class="hl-text-table">
    <input v-if="rows.length > 12" class="hl-field" type="search" placeholder="filter" aria-label="Filter the rows" v-model="query">
    <div class="hl-scroll"><table class="hl-plain"><thead><tr>
      <th v-for="(name, at) in head" :key="at" :aria-sort="at !== by ? 'none' : up ? 'ascending' : 'descending'">
        <button type="button" class="hl-head-button" @click="sort(at)">{{ name }}{{ at === by ? (up ? ' ↑' : ' ↓') : '' }}</button></th>
    </tr></thead><tbody>
      <tr v-for="(row, at) in shown" :key="at"><td v-for="(cell, column) in row" :key="column" :class="{ 'hl-number': numeric[column] }">{{ cell }}</td></tr>
    </tbody></table></div>
  </div>`,
  props: { data: String },
  data() {
    return { query: "", by: -1, up: true };
  },
  computed: {
    table() {
      return JSON.parse(this.data);
    },
    head() {
      return this.table[0] ?? [];
    },
    rows() {
      return this.table.slice(1);
    },
    numeric() {
      return this.head.map((_, at) => this.rows.length > 0 && this.rows.every((row) => row[at] === "" || isNumber(row[at])));
    },
    shown() {
      const wanted = this.query.toLowerCase();
      const rows = wanted ? this.rows.filter((row) => row.some((cell) => cell.toLowerCase().includes(wanted))) : [...this.rows];
      if (this.by >= 0) {
        const sign = this.up ? 1 : -1;
        const value = (row) => (this.numeric[this.by] ? Number(row[this.by]) : row[this.by]);
        rows.sort((a, b) => sign * (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0));
      }
      return rows.slice(0, MOST_SHOWN);
    },
  },
  methods: {
    sort(at) {
      this.up = this.by === at ? !this.up : true;
      this.by = at;
    },
  },
};
