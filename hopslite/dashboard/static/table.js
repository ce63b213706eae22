// The table of trials: a column for each parameter; its filters select trials, and it shows the selected ones.
import { duration, el, moment, number } from "hopslite-dashboard/dom.js";

const IDLE = 1200; // milliseconds after the charts
const PAUSE = 100; // milliseconds without another selection

export class Table {
  constructor(store, href) {
    Object.assign(this, { store, href, shown: new Map(), columns: "" });
    this.search = el("input", { type: "search", class: "hl-input", placeholder: "filter", "aria-label": "Filter trials",
      oninput: () => this.api?.setGridOption("quickFilterText", this.search.value) });
    this.menu = el("details", { class: "hl-menu" }, el("summary", {}, "columns"), (this.choices = el("div", { class: "hl-choices" })));
    this.count = el("span", { class: "hl-soft hl-small" });
    const head = el("div", { class: "hl-panel-head" }, el("h2", {}, "Trials"), this.count, el("div", { class: "hl-controls" }, this.search, this.menu));
    this.body = el("div", { class: "hl-grid" });
    this.root = el("section", { class: "hl-card hl-panel hl-wide hl-table", "aria-label": "Trials" }, head, this.body);
  }

  // When it can nearly be seen, or nothing else is to be done: AG Grid takes as long as all the charts.
  startSoon() {
    this.observer = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && this.#start(), { rootMargin: "200px" });
    this.observer.observe(this.root);
    const idle = window.requestIdleCallback ?? ((callback) => setTimeout(callback, IDLE));
    this.later = setTimeout(() => idle(() => this.#start()), IDLE);
  }

  async #start() {
    this.observer.disconnect();
    clearTimeout(this.later);
    if (this.isStarted) return;
    this.isStarted = true;
    this.tools = await import("hopslite-dashboard/grid.js");
    this.changed("data");
  }

  changed(what) {
    if (!this.tools || !this.store.run) return;
    if (!this.api) this.#create();
    else if (what === "data") this.#update();
    else if (what === "selection" && this.store.source !== this) this.#filterSoon();
    const { selection, trials } = this.store;
    this.count.textContent = selection ? `${selection.size} of ${trials.size} selected` : `${trials.size}`;
  }

  // After the charts, which answer to a brush while it is drawn.
  #filterSoon() {
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.api.onFilterChanged("external"), PAUSE);
  }

  #create() {
    const { store } = this;
    this.#setHeight();
    this.shown = new Map(store.trials);
    this.api = this.tools.createGrid(this.body, {
      columnDefs: this.#definitions(), rowData: store.list, rowClassRules: { "hl-best-row": ({ data }) => data && store.isBest(data) },
      isExternalFilterPresent: () => store.selection !== null && store.source !== this,
      doesExternalFilterPass: ({ data }) => store.selection.has(data.id),
      onFilterChanged: (event) => this.#filtered(event), onRowDoubleClicked: ({ data }) => store.open(data.id),
    });
    this.#fillMenu();
  }

  #setHeight() {
    this.body.style.height = `${Math.min(560, Math.max(110, 52 + this.store.trials.size * 30))}px`;
  }

  #filtered(event) {
    if (event.source === "external" || event.source === "api" && !this.search.value && !this.api.isColumnFilterPresent() && this.store.source !== this) return;
    if (!this.api.isColumnFilterPresent() && !this.api.isQuickFilterPresent()) {
      if (this.store.source === this) this.store.select(null, this);
      return;
    }
    this.store.source = this; // so that the filter of another view does not count any more
    const ids = [];
    this.api.forEachNodeAfterFilter((node) => ids.push(node.data.id));
    this.store.select(ids, this);
  }

  #definitions() {
    const { store, tools } = this;
    this.columns = [...store.params, store.run.objectives.length].join("\n");
    const shown = ({ value }) => number(value);
    const hasGenerations = store.list.some((trial) => trial.generation !== null);
    const plain = (colId, headerName, valueGetter, more = {}) => ({ colId, headerName, valueGetter, comparator: tools.compare, ...more });
    const numeric = { filter: "agNumberColumnFilter", type: "rightAligned", valueFormatter: shown };
    const goals = store.run.objectives.length
      ? store.run.objectives.map((goal, at) => plain(`m${at}`, goal.name, ({ data }) => data.metrics[at]?.[1] ?? null, { ...numeric, width: 120 }))
      : [plain("metric", store.run.key, ({ data }) => data.metric, { ...numeric, width: 120, sort: store.run.direction ? (store.isMax ? "desc" : "asc") : undefined })];
    return [
      plain("id", "trial", ({ data }) => data.id, { width: 84, pinned: window.innerWidth > 700 ? "left" : undefined,
        cellRenderer: ({ value }) => el("a", { href: this.href(value) }, value), filter: "agTextColumnFilter" }),
      plain("state", "state", ({ data }) => data.state, { width: 105, cellRenderer: ({ value }) => el("span", { class: `hl-${value} hl-word` }, value.toLowerCase()) }),
      ...goals,
      plain("latest", "latest report", ({ data }) => data.latest, { ...numeric, width: 118 }),
      ...store.params.map((name, at) => plain(`p${at}`, name, ({ data }) => data.params[at],
        store.axis(at).kind === "category" ? { width: 120, valueFormatter: shown, filter: "agTextColumnFilter" } : { ...numeric, width: 120 })),
      plain("duration", "duration", ({ data }) => data.duration, { width: 100, type: "rightAligned", filter: "agNumberColumnFilter", valueFormatter: ({ value }) => duration(value) }),
      plain("started", "started", ({ data }) => data.started, { width: 125, filter: false, valueFormatter: ({ value }) => moment(value) }),
      ...(hasGenerations ? [plain("generation", "generation", ({ data }) => data.generation, { ...numeric, width: 105 })] : []),
      plain("continues", "continues", ({ data }) => data.continues, { width: 100, hide: !store.list.some((trial) => trial.continues) }),
      plain("host", "host", ({ data }) => data.host, { width: 110, hide: true }),
      plain("message", "message", ({ data }) => data.message, { minWidth: 140, flex: 1, tooltipValueGetter: ({ value }) => value }),
    ];
  }

  #update() {
    const { store } = this;
    if (this.columns !== [...store.params, store.run.objectives.length].join("\n")) this.api.setGridOption("columnDefs", this.#definitions());
    const add = [], update = [], remove = [];
    for (const trial of store.list) {
      const before = this.shown.get(trial.id);
      if (!before) add.push(trial);
      else if (before !== trial) update.push(trial);
    }
    for (const id of this.shown.keys()) if (!store.trials.has(id)) remove.push({ id });
    if (add.length || update.length || remove.length) this.api.applyTransaction({ add, update, remove });
    this.shown = new Map(store.trials);
    const running = store.list.filter((trial) => trial.state === "RUNNING").map((trial) => this.api.getRowNode(trial.id)).filter(Boolean);
    if (running.length) this.api.refreshCells({ rowNodes: running, columns: ["latest"] });
    this.#setHeight();
    this.#fillMenu();
  }

  #fillMenu() {
    const columns = this.api.getColumns();
    if (this.choices.childElementCount === columns.length) return;
    this.choices.replaceChildren(...columns.map((column) => {
      const box = el("input", { type: "checkbox", checked: column.isVisible(), onchange: () => this.api.setColumnsVisible([column], box.checked) });
      return el("label", {}, box, column.getColDef().headerName);
    }));
  }

  dispose() {
    clearTimeout(this.soon);
    clearTimeout(this.later);
    this.observer?.disconnect();
    this.isStarted = true;
    this.api?.destroy();
  }
}
