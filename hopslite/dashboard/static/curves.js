// Curves of a reported metric: every trial a line, the best highlighted, stopped ones dashed.
import { axisStyle } from "hopslite-dashboard/panel.js";
import { escaped, select, short, toggle } from "hopslite-dashboard/dom.js";
import { stampDots, strokeLines } from "hopslite-dashboard/layers.js";
import { Plane } from "hopslite-dashboard/plane.js";
import { hint } from "hopslite-dashboard/scatter.js";

const LINES = 1000; // of more trials some are left out
const FETCHED = 300; // selected trials whose curves are asked for
const PAUSE = 150; // milliseconds without another selection

export class Curves extends Plane {
  constructor(store) {
    const box = select("Metric", [], 0, (place) => { this.metric = place; this.changed("data"); });
    const log = (axis) => toggle(`log ${axis}`, false, (on) => { this.log[axis] = on; this.changed("data"); }, `logarithmic ${axis === "x" ? "steps" : "values"}`);
    super(store, "Curves", { controls: [box, log("x"), log("y")] });
    Object.assign(this, { box, metric: null, log: { x: false, y: false }, shown: [] });
  }

  problem() {
    const { metrics, run, loaded } = this.store;
    if (!metrics.length) return "No trial has reported a metric.";
    if (this.metric === null) this.metric = Math.max(0, metrics.indexOf(run.key));
    if (this.box.options.length !== metrics.length) this.box.fill(metrics, this.metric);
    if (loaded.has(this.metric)) return null;
    this.#fetch(this.metric, null);
    return "Loading …";
  }

  async #fetch(metric, ids) {
    if (this.isBusy) return;
    this.isBusy = true;
    try {
      await this.store.fetchCurves(metric, ids);
      this.dirty.add("data");
    } catch {
      this.note.textContent = "The curves could not be read now."; // the next change tries again
    }
    this.isBusy = false;
    if (this.visible) this.refresh();
  }

  // Those of selected trials that were left out.
  #fetchSelected() {
    clearTimeout(this.soon);
    const { selection, trials } = this.store;
    if (!selection) return;
    this.soon = setTimeout(() => {
      const isMissing = (id) => trials.get(id)?.latest !== null && !trials.get(id)?.curves.has(this.metric);
      const ids = [...selection].filter(isMissing);
      if (this.isBusy || !ids.length || ids.length > FETCHED || this.asked === ids.join()) return;
      this.asked = ids.join(); // once: some may have reported other metrics only
      this.#fetch(this.metric, ids);
    }, PAUSE);
  }

  draw(what, c) {
    super.draw(what, c);
    this.#fetchSelected();
  }

  axes(c) {
    const { store, log } = this;
    const isDrawn = (x, y) => (!log.x || x > 0) && (!log.y || y > 0);
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    const here = store.list.filter((trial) => trial.curves.has(this.metric));
    const reported = store.list.filter((trial) => trial.latest !== null).length;
    this.shown = [];
    for (const trial of store.sample(here, 2 * LINES)) {
      const [steps, values] = trial.curves.get(this.metric);
      const points = [];
      for (let at = 0; at < steps.length; at += 1) {
        const x = steps[at], y = values[at];
        if (!isDrawn(x, y)) continue;
        points.push(x, y);
        left = Math.min(left, x); right = Math.max(right, x); low = Math.min(low, y); high = Math.max(high, y);
      }
      if (points.length) this.shown.push({ trial, points });
    }
    const count = this.shown.length;
    this.say(count < reported && count >= LINES ? `${count} of ${reported} curves are drawn, those of the best and of running trials always. A selection of up to ${FETCHED} shows all of its own.` : null);
    if (left === right) [left, right] = log.x ? [left / 2, right * 2] : [left - 0.5, right + 0.5];
    const pad = log.y ? 0 : (high - low || Math.abs(high) || 1) * 0.04;
    if (log.y && low === high) [low, high] = [low / 2, high * 2];
    if (!count) [left, right, low, high] = log.x || log.y ? [1, 10, 1, 10] : [0, 1, 0, 1];
    const axis = (name, isLog, min, max, gap) => axisStyle(c, name, { type: isLog ? "log" : "value", min, max, nameGap: gap, splitNumber: 4,
      axisLabel: { color: c.soft, fontSize: 11, formatter: short, hideOverlap: true, showMinLabel: isLog ? undefined : false, showMaxLabel: false } });
    return {
      xAxis: axis("step", log.x, left, right, 26), yAxis: axis(store.metrics[this.metric], log.y, low - pad, high + pad, 48),
      corners: [[left, low], [right, high]],
    };
  }

  paint(pen, c, isChosen) {
    const { store } = this;
    const groups = { finished: [], stopped: [], failed: [], running: [], faintBest: [], best: [] };
    const single = [];
    for (const { trial, points } of this.shown) {
      const isBest = store.isBest(trial);
      if (isChosen ? !isBest && !isChosen(trial) : isBest) continue;
      const name = isBest ? (store.isSelected(trial) ? "best" : "faintBest") : trial.state === "RUNNING" ? "running"
        : trial.state === "STOPPED" ? "stopped" : trial.state === "FINISHED" ? "finished" : "failed";
      const line = new Array(points.length);
      for (let at = 0; at < points.length; at += 2) { line[at] = this.x(points[at]); line[at + 1] = this.y(points[at + 1]); }
      if (line.length === 2) single.push(...line);
      groups[name].push(line);
    }
    const count = isChosen && store.selection ? store.selection.size : this.shown.length;
    const opacity = count > 300 ? 0.25 : count > 60 ? 0.45 : 0.8;
    strokeLines(pen, groups.finished, { color: c.accent, width: 1.1, opacity });
    strokeLines(pen, groups.stopped, { color: c.warn, width: 1, dash: [5, 3], opacity });
    strokeLines(pen, groups.failed, { color: c.bad, width: 1, dash: [2, 3], opacity });
    strokeLines(pen, groups.running, { color: c.run, width: 1.5, opacity: 0.9 });
    strokeLines(pen, groups.faintBest, { color: c.best, width: 2, opacity: 0.3 });
    strokeLines(pen, groups.best, { color: c.best, width: 2.6 });
    stampDots(pen, single, { color: c.run, radius: 2 });
  }

  near(x, y, most) {
    let near = most, mark = null;
    for (const { trial, points } of this.shown) {
      if (!this.store.isSelected(trial)) continue;
      let before = null;
      for (let at = 0; at < points.length; at += 2) {
        const here = [this.x(points[at]), this.y(points[at + 1])];
        const distance = before ? toSegment(x, y, before, here) : Math.hypot(here[0] - x, here[1] - y);
        if (distance < near) { near = distance; mark = { trial }; }
        before = here;
      }
    }
    return mark;
  }

  hint({ trial }) {
    const values = trial.curves.get(this.metric)?.[1] ?? [];
    return `${hint(this.store, trial)}<br>last report ${escaped(short(values[values.length - 1]))}`;
  }

  dispose() {
    clearTimeout(this.soon);
    super.dispose();
  }
}

function toSegment(x, y, a, b) {
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
  const share = Math.max(0, Math.min(1, ((x - a[0]) * dx + (y - a[1]) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(x - a[0] - share * dx, y - a[1] - share * dy);
}
