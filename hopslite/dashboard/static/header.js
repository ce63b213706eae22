// Head of a run's page: state, progress, best trial, facts, actions.
import { duration, el, moment, number } from "hopslite-dashboard/dom.js";

const ORDER = ["FINISHED", "STOPPED", "FAILED", "KILLED", "RUNNING", "PENDING"];

export class Header {
  constructor(store, href, actions) {
    Object.assign(this, { store, href, actions });
    this.root = el("header", { class: "hl-run-head hl-card" });
    this.loaded = Date.now() / 1000;
  }

  changed(what) {
    if (what === "selection") return;
    this.loaded = Date.now() / 1000;
    this.#draw();
  }

  // Called each second.
  tick() {
    const { run } = this.store;
    if (!run || !this.elapsed || run.state !== "RUNNING") return;
    const since = Date.now() / 1000 - this.loaded;
    this.elapsed.textContent = duration(run.elapsed + since);
    if (this.left && run.remaining !== null) this.left.textContent = `about ${duration(Math.max(0, run.remaining - since))}`;
  }

  #draw() {
    const { run, counts } = this.store;
    const title = el("h1", { class: "hl-title" }, run.name ?? run.id, el("span", { class: "hl-soft" }, ` version ${run.version ?? "?"}`));
    const badge = el("span", { class: `hl-state hl-${run.state}`, "data-state": run.state }, run.state);
    const tags = run.tags.map((tag) => el("span", { class: "hl-tag" }, tag));
    const first = el("div", { class: "hl-row" }, title, badge, el("span", { class: "hl-soft" }, run.verb ?? ""), ...tags, el("span", { class: "hl-grow" }), ...this.#buttons());
    const parts = [first];
    if (run.description) parts.push(el("p", { class: "hl-description" }, run.description));
    if (run.message) parts.push(el("p", { class: run.state === "STOPPED" ? "hl-STOPPED" : "hl-problem", role: "status" }, run.message));
    parts.push(this.#progress(run, counts), this.#facts(run));
    this.root.replaceChildren(...parts);
  }

  #buttons() {
    const { run } = this.store;
    const button = (name, style, action) => el("button", { type: "button", class: `hl-button ${style}`, onclick: action }, name);
    if (!this.actions.allowed) return [];
    return [
      run.canStop ? button("Stop", "hl-danger", this.actions.stop) : null,
      run.canResume ? button("Resume", "", this.actions.resume) : null,
    ];
  }

  #progress(run, counts) {
    const ended = ORDER.slice(0, 4).reduce((sum, state) => sum + (counts[state] ?? 0), 0);
    const all = Math.max(run.total ?? 0, this.store.trials.size);
    const texts = [`${ended}${run.total ? ` of ${run.total}` : ""} trials`,
      ...ORDER.filter((state) => counts[state] && state !== "FINISHED").map((state) => `${counts[state]} ${state.toLowerCase()}`)];
    const segments = ORDER.slice(0, 5).filter((state) => counts[state]).map((state) =>
      el("span", { class: `hl-segment hl-fill-${state}`, style: `width:${(100 * counts[state]) / (all || 1)}%`, title: `${counts[state]} ${state.toLowerCase()}` }));
    const bar = el("div", { class: "hl-bar", role: "progressbar", "aria-label": "Progress", "aria-valuemin": "0", "aria-valuemax": String(all), "aria-valuenow": String(ended) }, ...segments);
    return el("div", { class: "hl-progress" }, bar, el("span", { class: "hl-soft hl-small", "data-progress": String(ended) }, texts.join(" · ")));
  }

  #facts(run) {
    const list = el("dl", { class: "hl-facts" });
    const fact = (name, ...content) => list.append(el("div", {}, el("dt", {}, name), el("dd", {}, ...content)));
    if (run.best) fact(`best ${run.key}`, el("b", {}, number(run.bestMetric)), " in trial ", el("a", { href: this.href(run.best) }, run.best));
    if (run.front.length) fact("Pareto front", `${run.front.length} trials`);
    fact("elapsed", (this.elapsed = el("span", {}, duration(run.elapsed))));
    this.left = null;
    if (run.remaining !== null && run.remaining !== undefined) fact("left", (this.left = el("span", {}, `about ${duration(run.remaining)}`)));
    if (run.started) fact("started", moment(run.started));
    if (run.user || run.program) fact("program", [run.program, run.user && `by ${run.user}`].filter(Boolean).join(" "));
    for (const [name, url] of run.links) fact("see also", el("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, name));
    if (run.bestParams) list.append(el("div", { class: "hl-long" }, el("dt", {}, "best parameters"), el("dd", { class: "hl-mono" }, run.bestParams)));
    list.append(el("div", { class: "hl-long" }, el("dt", {}, "directory"), el("dd", { class: "hl-mono" }, run.directory)));
    return list;
  }
}
