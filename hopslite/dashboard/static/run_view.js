// The page of a run: its head, charts and table over one selection of trials.
import { Curves } from "hopslite-dashboard/curves.js";
import { el } from "hopslite-dashboard/dom.js";
import { Header } from "hopslite-dashboard/header.js";
import { Importance } from "hopslite-dashboard/importance.js";
import { Parallel } from "hopslite-dashboard/parallel.js";
import { BestSoFar, Generations, Parameter, Pareto } from "hopslite-dashboard/scatter.js";
import { Store } from "hopslite-dashboard/store.js";
import { Table } from "hopslite-dashboard/table.js";
import { Timeline } from "hopslite-dashboard/timeline.js";

const TRIES = 3;

export class RunView {
  // `actions`: allowed, stop, resume; `synced` is told the revision that is here.
  constructor(root, runId, actions, synced) {
    const page = (trial) => `/runs/${encodeURIComponent(runId)}/trials/${encodeURIComponent(trial)}`;
    Object.assign(this, { root, synced, url: `/api/runs/${encodeURIComponent(runId)}` });
    const store = (this.store = new Store());
    store.open = (trial) => window.location.assign(page(trial));
    store.fetchCurves = (metric, ids) => this.#fetchCurves(metric, ids);
    this.header = new Header(store, page, actions);
    this.table = new Table(store, page);
    this.selection = el("div", { class: "hl-selection", role: "status", hidden: true }, (this.said = el("span")),
      el("button", { type: "button", class: "hl-link", onclick: () => store.select(null, null) }, "show all"));
    this.panels = el("div", { class: "hl-panels" });
    this.views = [];
    root.append(this.header.root, this.selection, this.panels);
    store.listen((what) => this.#changed(what));
    this.clock = setInterval(() => this.header.tick(), 1000);
    this.theme = new MutationObserver(() => this.views.forEach((view) => view.changed("theme")));
    this.theme.observe(document.body, { attributes: true, attributeFilter: ["class"] });
    this.load();
  }

  async load() {
    this.isLoading = true;
    try {
      const answer = await (window.hlSnapshot ?? fetch(this.url));
      window.hlSnapshot = null;
      if (!answer.ok) throw new Error(await answer.text());
      this.store.load(await answer.json());
      this.synced(this.store.rev);
    } catch (error) {
      this.header.root.replaceChildren(el("p", { class: "hl-problem", role: "alert" }, String(error.message ?? error)));
    }
    this.isLoading = false;
  }

  // Curves of a metric: a sample of all, or those of some trials.
  async #fetchCurves(metric, ids) {
    const query = new URLSearchParams({ metric, ...(ids ? { trials: ids.join() } : {}) });
    for (let tries = 0; tries < TRIES; tries += 1) {
      const answer = await fetch(`${this.url}/curves?${query}`);
      if (!answer.ok) throw new Error(await answer.text());
      if (this.store.addCurves(await answer.json())) return;
    }
    throw new Error("The server is behind.");
  }

  apply(text) {
    if (this.isLoading) return;
    if (this.store.apply(JSON.parse(text))) this.synced(this.store.rev);
    else this.load();
  }

  #changed(what) {
    if (!this.views.length) this.#lay();
    if (what === "selection") {
      const { selection, trials } = this.store;
      this.selection.hidden = selection === null;
      this.said.textContent = selection ? `${selection.size} of ${trials.size} trials selected ` : "";
    }
    this.header.changed(what);
    for (const view of this.views) view.changed(what);
  }

  #lay() {
    const { store } = this;
    const isSeveral = store.run.objectives.length > 0;
    const hasGenerations = store.list.some((trial) => trial.generation !== null);
    const estimate = async () => (await fetch(`${this.url}/importance`)).json();
    const isSearch = isSeveral || store.run.direction;
    const views = [];
    if (isSeveral) views.push(new Pareto(store));
    else if (isSearch) views.push(new BestSoFar(store));
    views.push(new Curves(store));
    if (isSearch) views.push(new Parallel(store));
    if (isSearch && !isSeveral) views.push(new Parameter(store), new Importance(store, estimate));
    if (hasGenerations) views.push(new Generations(store));
    views.push(this.table, new Timeline(store));
    this.views = views;
    this.panels.append(...views.map((view) => view.root));
    this.table.startSoon();
  }

  dispose() {
    clearInterval(this.clock);
    this.theme.disconnect();
    this.views.forEach((view) => view.dispose());
  }
}
