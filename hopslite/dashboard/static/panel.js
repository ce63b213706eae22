// A card with a chart, which is drawn when it can be seen.
import { echarts } from "nicegui-echart";
import { colours, el } from "hopslite-dashboard/dom.js";

export class Panel {
  constructor(store, title, { wide = false, height = 280, controls = [] } = {}) {
    this.store = store;
    this.note = el("div", { class: "hl-note", hidden: true });
    this.body = el("div", { class: "hl-chart", style: `height:${height}px` });
    this.remark = el("div", { class: "hl-soft hl-small", hidden: true });
    this.heading = el("h2", {}, title);
    this.head = el("div", { class: "hl-panel-head" }, this.heading, el("div", { class: "hl-controls" }, ...controls));
    this.root = el("section", { class: `hl-card hl-panel${wide ? " hl-wide" : ""}`, "aria-label": title }, this.head, this.note, this.body, this.remark);
    this.dirty = new Set(["data"]);
    this.visible = false;
    this.observer = new IntersectionObserver((entries) => {
      this.visible = entries[entries.length - 1].isIntersecting;
      if (this.visible) this.refresh();
    }, { rootMargin: "60px" });
    this.observer.observe(this.root);
    this.resize = new ResizeObserver(() => this.chart && this.measure() && this.resized());
    this.resize.observe(this.body);
  }

  changed(what) {
    this.dirty.add(what);
    if (this.visible) this.refresh();
  }

  refresh() {
    if (!this.dirty.size || !this.store.run) return;
    const what = this.dirty.has("data") || this.dirty.has("theme") ? "data" : "selection";
    this.dirty.clear();
    const problem = this.problem?.();
    this.note.hidden = !problem;
    this.note.textContent = problem ?? "";
    this.body.hidden = Boolean(problem);
    if (problem) return;
    if (!this.chart) {
      this.measure();
      this.chart = this.made();
      this.ready?.(this.chart);
    }
    this.draw(what, colours());
  }

  // The chart: something with `resize` and `dispose`.
  made() {
    return echarts.init(this.body, null, { renderer: "canvas" });
  }

  resized() {
    this.chart.resize();
  }

  say(text) {
    this.remark.hidden = !text;
    this.remark.textContent = text ?? "";
  }

  // True if the size is another one than before.
  measure() {
    const { clientWidth: width, clientHeight: height } = this.body; // read once: it may cost a layout of the page
    const isOther = width !== this.width || height !== this.height;
    Object.assign(this, { width, height });
    return isOther;
  }

  dispose() {
    this.observer.disconnect();
    this.resize.disconnect();
    this.chart?.dispose();
  }
}

export function axisStyle(c, name, extra = {}) {
  return {
    name, nameLocation: "middle", nameGap: 26, nameTextStyle: { color: c.soft, fontSize: 11 },
    axisLabel: { color: c.soft, fontSize: 11, hideOverlap: true }, axisLine: { lineStyle: { color: c.line } },
    axisTick: { show: false }, splitLine: { lineStyle: { color: c.line, opacity: 0.6 } }, scale: true, ...extra,
  };
}

export function base(c) {
  return {
    animation: false, backgroundColor: "transparent", textStyle: { fontFamily: "inherit" },
    tooltip: {
      confine: true, backgroundColor: c.card, borderColor: c.line, textStyle: { color: c.ink, fontSize: 12 },
      transitionDuration: 0, padding: [6, 9],
    },
  };
}
