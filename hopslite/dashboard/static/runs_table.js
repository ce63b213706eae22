// The table of runs.
import { duration, el, moment, number } from "hopslite-dashboard/dom.js";
import { compare, createGrid } from "hopslite-dashboard/grid.js";

const SVG = "http://www.w3.org/2000/svg";

export class RunsTable {
  // `chosen` is told the ids of the rows that are ticked.
  constructor(root, chosen) {
    Object.assign(this, { runs: new Map(), isGrouped: false, open: new Set(), rows: new Map(), chosen });
    this.api = createGrid(root, {
      columnDefs: this.#columns(), rowData: [], rowSelection: { mode: "multiRow", checkboxes: true, headerCheckbox: false, enableClickSelection: false,
        isRowSelectable: ({ data }) => data && !data.group },
      onRowClicked: (event) => this.#clicked(event), onSelectionChanged: () => this.#selected(),
      postSortRows: ({ nodes }) => this.#underTheirNames(nodes), rowClassRules: { "hl-group": ({ data }) => data?.group, "hl-child": ({ data }) => data?.child },
      noRowsOverlayComponent: undefined, overlayNoRowsTemplate: "<span></span>",
    });
  }

  #columns() {
    const plain = (field, headerName, more = {}) => ({ field, headerName, comparator: compare, ...more });
    return [
      plain("name", "name", { flex: 2, minWidth: 150, cellRenderer: ({ data }) => this.#name(data), filter: "agTextColumnFilter" }),
      plain("version", "version", { width: 88, type: "rightAligned", filter: false }),
      plain("state", "state", { width: 106, cellRenderer: ({ value }) => el("span", { class: `hl-${value} hl-word` }, (value ?? "").toLowerCase()) }),
      plain("progress", "progress", { width: 150, filter: false, cellRenderer: ({ data }) => progress(data), equals: () => false }),
      plain("metric", "best", { width: 110, type: "rightAligned", filter: "agNumberColumnFilter", valueFormatter: ({ value }) => number(value) }),
      plain("key", "metric", { width: 110 }),
      plain("curve", "best so far", { width: 130, sortable: false, filter: false, cellRenderer: ({ value }) => sparkline(value) }),
      plain("started", "started", { width: 140, filter: false, valueFormatter: ({ value }) => moment(value), sort: "desc" }),
      plain("duration", "duration", { width: 104, type: "rightAligned", filter: false, valueFormatter: ({ value }) => duration(value) }),
      plain("verb", "verb", { width: 130 }),
      plain("tags", "tags", { flex: 1, minWidth: 90, filter: "agTextColumnFilter", tooltipValueGetter: ({ value }) => value }),
      plain("message", "message", { flex: 1, minWidth: 90, filter: "agTextColumnFilter", tooltipValueGetter: ({ value }) => value }),
    ];
  }

  #name(row) {
    if (!row.group) return el("a", { href: `/runs/${encodeURIComponent(row.id)}` }, row.name);
    const isOpen = this.open.has(row.name);
    return el("button", { type: "button", class: "hl-fold", "aria-expanded": String(isOpen) }, isOpen ? "▾ " : "▸ ", row.name, el("span", { class: "hl-soft" }, `  ${row.count} runs`));
  }

  // `changed` runs replace those with the same id.
  update(changed, removed) {
    for (const row of changed) this.runs.set(row.id, row);
    for (const id of removed) this.runs.delete(id);
    this.#show();
  }

  group(on) {
    this.isGrouped = on;
    this.#show();
  }

  filter(text) {
    this.api.setGridOption("quickFilterText", text);
  }

  #show() {
    const rows = this.isGrouped ? this.#groups() : [...this.runs.values()];
    const next = new Map(rows.map((row) => [row.id, row]));
    const add = rows.filter((row) => !this.rows.has(row.id));
    const update = rows.filter((row) => this.rows.has(row.id) && (this.rows.get(row.id) !== row || row.group));
    const remove = [...this.rows.values()].filter((row) => !next.has(row.id));
    this.rows = next;
    this.api.applyTransaction({ add, update, remove });
    if (this.isGrouped) this.api.refreshCells({ columns: ["name"], force: true });
  }

  #groups() {
    const byName = new Map();
    for (const run of this.runs.values()) byName.set(run.name, [...(byName.get(run.name) ?? []), run]);
    return [...byName].flatMap(([name, runs]) => {
      if (runs.length === 1) return runs;
      const newest = runs.reduce((a, b) => ((a.version ?? 0) > (b.version ?? 0) ? a : b));
      const scored = runs.filter((run) => run.metric !== null && run.metric !== undefined && run.direction === newest.direction);
      const metrics = scored.map((run) => run.metric);
      const best = !metrics.length || !newest.direction ? null : newest.direction === "MAX" ? Math.max(...metrics) : Math.min(...metrics);
      const group = { ...newest, id: `name:${name}`, group: true, count: runs.length, version: null, metric: best, curve: null };
      const children = this.open.has(name) ? runs.map((run) => Object.assign(run, { child: true })) : [];
      return [group, ...children];
    });
  }

  // Versions follow the row of their name, in the order that the table has.
  #underTheirNames(nodes) {
    if (!this.isGrouped) return;
    const children = nodes.filter((node) => node.data.child && this.open.has(node.data.name));
    if (!children.length) return;
    const others = nodes.filter((node) => !children.includes(node));
    const ordered = others.flatMap((node) => (node.data.group ? [node, ...children.filter((child) => child.data.name === node.data.name)] : [node]));
    nodes.splice(0, nodes.length, ...ordered);
  }

  #clicked({ data, event }) {
    if (event.target.closest("a, input, .ag-selection-checkbox")) return;
    if (!data.group) {
      window.location.assign(`/runs/${encodeURIComponent(data.id)}`);
      return;
    }
    if (!this.open.delete(data.name)) this.open.add(data.name);
    this.#show();
  }

  #selected() {
    this.chosen(this.api.getSelectedRows().map((row) => row.id));
  }

  dispose() {
    this.api.destroy();
  }
}

function progress(row) {
  if (row.group || (!row.done && !row.total && !row.running)) return el("span");
  const total = row.total ?? row.done ?? 0;
  const share = total ? Math.min(100, (100 * (row.done ?? 0)) / total) : 0;
  const bar = el("span", { class: "hl-bar hl-thin" }, el("span", { class: `hl-segment hl-fill-${row.state === "RUNNING" ? "RUNNING" : "FINISHED"}`, style: `width:${share}%` }));
  return el("span", { class: "hl-cell-progress" }, bar, el("span", {}, total && row.total ? `${row.done ?? 0}/${row.total}` : String(row.done ?? 0)));
}

function sparkline(values) {
  if (!values || values.length < 2) return el("span");
  const [width, height] = [110, 20];
  const low = Math.min(...values), high = Math.max(...values);
  const points = values.map((value, at) => `${(2 + ((width - 4) * at) / (values.length - 1)).toFixed(1)},${(height - 3 - (high > low ? ((height - 6) * (value - low)) / (high - low) : (height - 6) / 2)).toFixed(1)}`);
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("class", "hl-spark");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(SVG, "polyline");
  line.setAttribute("points", points.join(" "));
  svg.append(line);
  return svg;
}
