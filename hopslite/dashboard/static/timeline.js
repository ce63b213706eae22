// Attempts by slot over time; bars that touch show slots that never waited.
import { axisStyle } from "hopslite-dashboard/panel.js";
import { duration, escaped } from "hopslite-dashboard/dom.js";
import { Plane } from "hopslite-dashboard/plane.js";

const LIVE = new Set(["RUNNING"]);

export class Timeline extends Plane {
  constructor(store) {
    super(store, "Timeline by slot", { wide: true, height: 200 });
  }

  problem() {
    const { attempts, list } = this.store;
    return attempts.length || list.some((trial) => LIVE.has(trial.state) && trial.started !== null) ? null : "No trial has begun.";
  }

  #bars() {
    const { store } = this;
    const bars = store.attempts.map(([trial, number, slot, host, begin, end, outcome, problem]) => ({ trial, number, slot, host, begin, end, outcome, problem }));
    for (const trial of store.list) {
      if (!LIVE.has(trial.state) || trial.started === null) continue;
      bars.push({ trial: trial.id, number: trial.attempt, slot: trial.slot, host: trial.host, begin: trial.started, end: store.now(), outcome: "running", problem: "" });
    }
    return bars.sort((a, b) => a.begin - b.begin);
  }

  #rows(bars) {
    const free = new Map();
    const names = new Set();
    for (const bar of bars) {
      let key = bar.slot === null || bar.slot === undefined ? null : `slot ${bar.slot}`;
      if (key === null) { // journals without slots: the first one on the host that is free
        let number = 0;
        while ((free.get(`${bar.host} ${number}`) ?? -Infinity) > bar.begin + 1e-6) number += 1;
        key = `${bar.host ?? "slot"} ${number}`;
        free.set(key, bar.end);
      }
      bar.name = key;
      names.add(key);
    }
    return [...names].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
  }

  axes(c) {
    this.bars = this.#bars();
    const names = this.#rows(this.bars);
    const rows = new Map(names.map((name, row) => [name, row]));
    const start = this.bars[0].begin;
    let end = 0;
    for (const bar of this.bars) {
      bar.row = rows.get(bar.name);
      bar.from = bar.begin - start;
      bar.to = bar.end - start;
      end = Math.max(end, bar.to);
    }
    const height = `${Math.max(110, Math.min(520, 58 + names.length * 22))}px`;
    if (this.body.style.height !== height) {
      this.body.style.height = height;
      this.measure();
      this.chart.resize();
    }
    this.count = names.length;
    return {
      grid: { left: 74, right: 16, top: 8, bottom: 40 },
      xAxis: axisStyle(c, "time since the first trial began", { type: "value", min: 0, scale: false,
        axisLabel: { color: c.soft, fontSize: 11, formatter: (seconds) => duration(seconds) || "0", hideOverlap: true } }),
      yAxis: { type: "category", data: names, inverse: true, axisLabel: { color: c.soft, fontSize: 11 }, axisTick: { show: false }, axisLine: { show: false } },
      corners: [[0, 0], [end || 1, names.length - 1]],
    };
  }

  get thickness() {
    const room = this.count > 1 ? Math.abs(this.y(1) - this.y(0)) : 22;
    return Math.max(1, Math.min(16, room * 0.72));
  }

  paint(pen, c, isChosen) {
    const { store, thickness } = this;
    const colour = { finished: c.accent, stopped: c.warn, running: c.run, failed: c.bad, killed: c.soft, retried: c.bad, "cut off": c.soft };
    for (const bar of this.bars) {
      const trial = store.trials.get(bar.trial);
      if (isChosen && !(trial && isChosen(trial))) continue;
      const isBest = trial && store.isBest(trial) && bar.outcome === "finished";
      const left = this.x(bar.from);
      pen.globalAlpha = 0.9;
      pen.fillStyle = isBest ? c.best : colour[bar.outcome] ?? c.soft;
      pen.fillRect(left, this.y(bar.row) - thickness / 2, Math.max(1, this.x(bar.to) - left - 0.6), thickness);
    }
    pen.globalAlpha = 1;
  }

  near(x, y) {
    const half = this.thickness / 2;
    const bar = this.bars.findLast(({ row, from, to }) => Math.abs(this.y(row) - y) <= half && x >= this.x(from) - 1 && x <= this.x(to) + 1);
    return bar ? { trial: this.store.trials.get(bar.trial) ?? { id: bar.trial }, bar } : null;
  }

  hint({ bar }) {
    return [
      `<b>${escaped(bar.trial)}</b>${bar.number ? ` attempt ${Number(bar.number) + 1}` : ""} ${escaped(bar.outcome)}`,
      escaped(duration(bar.end - bar.begin)), escaped(bar.host ?? ""), escaped(bar.problem ?? "")].filter(Boolean).join("<br>");
  }
}
