// Points of trials in a plane: best so far, a parameter against the metric, generations, the Pareto front.
import { axisStyle } from "hopslite-dashboard/panel.js";
import { duration, escaped, number, select, short, toggle } from "hopslite-dashboard/dom.js";
import { stampDots, strokeLines } from "hopslite-dashboard/layers.js";
import { Plane } from "hopslite-dashboard/plane.js";

class Scatter extends Plane {
  axes(c) {
    this.shown = this.points().filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y)); // [x, y, trial]
    const axes = { xAxis: this.xAxis(c), yAxis: this.yAxis(c) };
    const ends = (at, isLog) => {
      let low = Infinity, high = -Infinity;
      for (const point of this.shown) {
        if (isLog && point[at] <= 0) continue;
        low = Math.min(low, point[at]);
        high = Math.max(high, point[at]);
      }
      return low <= high ? [low, high] : isLog ? [1, 10] : [0, 1];
    };
    const [x, y] = [ends(0, axes.xAxis.type === "log"), ends(1, axes.yAxis.type === "log")];
    return { ...axes, corners: [[x[0], y[0]], [x[1], y[1]]] };
  }

  paint(pen, c, isChosen) {
    const { store, shown } = this;
    const radius = shown.length > 3000 ? 1.6 : shown.length > 400 ? 2.2 : 3;
    const dots = { finished: [], stopped: [], best: [], faintBest: [] };
    for (const [x, y, trial] of shown) {
      const isBest = store.isBest(trial);
      if (isChosen ? !isBest && !isChosen(trial) : isBest) continue;
      const name = isBest ? (store.isSelected(trial) ? "best" : "faintBest") : trial.state === "STOPPED" ? "stopped" : "finished";
      dots[name].push(this.x(x), this.y(y));
    }
    stampDots(pen, dots.finished, { color: c.accent, radius, opacity: 0.85 });
    stampDots(pen, dots.stopped, { edge: c.warn, edgeWidth: 1.3, radius: radius - 0.4, opacity: 1 });
    if (!isChosen) return;
    const place = ([x, y]) => [this.x(x), this.y(y)];
    for (const { data, ...style } of this.lines(shown, c)) strokeLines(pen, [data.flatMap(place)], style);
    const best = { color: c.best, edge: c.card, edgeWidth: 1.5, radius: radius + 2 };
    stampDots(pen, dots.faintBest, { ...best, opacity: 0.35 });
    stampDots(pen, dots.best, best);
  }

  near(x, y, most) {
    let near = most, mark = null;
    for (const [left, top, trial] of this.shown) {
      const distance = Math.hypot(this.x(left) - x, this.y(top) - y);
      if (distance < near) { near = distance; mark = { trial }; }
    }
    return mark;
  }

  inside(left, top, right, bottom) {
    return this.shown.filter((point) => {
      const [x, y] = [this.x(point[0]), this.y(point[1])];
      return x >= left && x <= right && y >= top && y <= bottom;
    }).map((point) => point[2].id);
  }

  hint({ trial }) {
    return hint(this.store, trial);
  }

  lines() {
    return [];
  }
}

export function hint(store, trial) {
  const rows = store.params.map((name, place) => [name, trial.params[place]]).filter((row) => row[1] !== null).slice(0, 14);
  const lines = rows.map(([name, value]) => `<span style="opacity:.7">${escaped(name)}</span> ${escaped(number(value))}`);
  const score = trial.metrics.length ? trial.metrics.map(([name, value]) => `${name} ${number(value)}`).join(", ")
    : trial.metric === null ? "" : `${store.run.key} ${number(trial.metric)}`;
  const head = `<b>${escaped(trial.id)}</b> ${escaped(trial.state.toLowerCase())} ${escaped(duration(trial.duration))}`;
  return [head, escaped(score), ...lines].filter(Boolean).join("<br>");
}

function metricAxis(store, c, isLog) {
  const isPositive = store.range && store.range[0] > 0;
  return axisStyle(c, store.run.key, { type: isLog && isPositive ? "log" : "value", nameGap: 48,
    axisLabel: { color: c.soft, fontSize: 11, formatter: short, hideOverlap: true } });
}

// Corners of steps from point to point.
function steps(points) {
  return points.flatMap((point, at) => (at ? [[point[0], points[at - 1][1]], point] : [point]));
}

export class BestSoFar extends Scatter {
  constructor(store) {
    const button = toggle("log", false, (on) => { this.isLog = on; this.changed("data"); }, "logarithmic metric");
    super(store, "Best so far", { controls: [button] });
  }

  problem() {
    return this.store.scored.length ? null : "No trial with a metric has ended yet.";
  }

  points() {
    return this.store.byEnd.map((trial, place) => [place + 1, trial.metric, trial]);
  }

  lines(points, c) {
    const better = this.store.isMax ? (a, b) => a > b : (a, b) => a < b;
    let best = null;
    const data = points.filter(([, y]) => {
      const isBetter = best === null || better(y, best);
      if (isBetter) best = y;
      return isBetter;
    }).map(([x, y]) => [x, y]);
    if (points.length) data.push([points.length, best]);
    return [{ data: steps(data), color: c.best, width: 1.8 }];
  }

  xAxis(c) {
    return axisStyle(c, "trials that have ended", { type: "value", minInterval: 1, min: 0, max: this.store.byEnd.length > 20 ? "dataMax" : undefined });
  }

  yAxis(c) {
    return metricAxis(this.store, c, this.isLog);
  }
}

export class Parameter extends Scatter {
  constructor(store) {
    const box = select("Parameter", [], 0, (place) => { this.place = place; this.changed("data"); });
    const button = toggle("log", false, (on) => { this.isLog = on; this.changed("data"); }, "logarithmic metric");
    super(store, "Parameter against metric", { controls: [box, button] });
    this.box = box;
    this.place = 0;
  }

  problem() {
    if (this.names !== this.store.params.join("\n")) {
      this.names = this.store.params.join("\n");
      this.box.fill(this.store.params, this.place);
    }
    if (!this.store.params.length) return "The trials have no parameters.";
    return this.store.scored.length ? null : "No trial with a metric has ended yet.";
  }

  points() {
    this.axis = this.store.axis(this.place);
    const isThere = (trial) => trial.params[this.place] !== null && trial.params[this.place] !== undefined;
    const places = new Map((this.axis.names ?? []).map((name, place) => [name, place]));
    const at = (trial) => {
      if (this.axis.kind !== "category") return trial.params[this.place];
      return places.get(String(trial.params[this.place])) + (hash(trial.id) - 0.5) * 0.5;
    };
    return this.store.scored.filter(isThere).map((trial) => [at(trial), trial.metric, trial]);
  }

  xAxis(c) {
    const name = this.store.params[this.place];
    if (this.axis.kind !== "category") {
      return axisStyle(c, name, { type: this.axis.kind, axisLabel: { color: c.soft, fontSize: 11, formatter: short, hideOverlap: true } });
    }
    const { names } = this.axis;
    return axisStyle(c, name, { type: "value", min: -0.5, max: names.length - 0.5, interval: 1, splitLine: { show: false },
      axisLabel: { color: c.soft, fontSize: 11, formatter: (at) => names[Math.round(at)] && Number.isInteger(at) ? cut(names[at]) : "",
        customValues: names.map((_, place) => place) } });
  }

  yAxis(c) {
    return metricAxis(this.store, c, this.isLog);
  }
}

export class Generations extends Scatter {
  constructor(store) {
    super(store, "Generation by generation");
  }

  points() {
    return this.store.scored.filter((trial) => trial.generation !== null)
      .map((trial) => [trial.generation + (hash(trial.id) - 0.5) * 0.4, trial.metric, trial]);
  }

  lines(points, c) {
    const byGeneration = new Map();
    for (const [, y, trial] of points) {
      if (!byGeneration.has(trial.generation)) byGeneration.set(trial.generation, []);
      byGeneration.get(trial.generation).push(y);
    }
    const data = [...byGeneration].sort((a, b) => a[0] - b[0]).map(([at, values]) => {
      values.sort((a, b) => a - b);
      return [at, values[Math.floor((values.length - 1) / 2)]];
    });
    return [{ data, color: c.soft, width: 1.6 }];
  }

  xAxis(c) {
    return axisStyle(c, "generation (line: median)", { type: "value", minInterval: 1 });
  }

  yAxis(c) {
    return metricAxis(this.store, c, false);
  }
}

export class Pareto extends Scatter {
  constructor(store) {
    const box = (label, at) => select(label, [], at, (place) => { this.at[at] = place; this.changed("data"); });
    const boxes = [box("Horizontal metric", 0), box("Vertical metric", 1)];
    super(store, "Pareto front", { controls: boxes });
    this.at = [0, 1];
    this.boxes = boxes;
  }

  problem() {
    const names = this.store.run.objectives.map((objective) => objective.name);
    this.boxes.forEach((box, at) => box.options.length === names.length || box.fill(names, this.at[at]));
    return this.points().length ? null : "No trial has finished yet.";
  }

  points() {
    const value = (trial, at) => trial.metrics[at]?.[1];
    return this.store.list.filter((trial) => trial.metrics.length > 1)
      .map((trial) => [value(trial, this.at[0]), value(trial, this.at[1]), trial]);
  }

  lines(points, c) {
    const front = points.filter((point) => this.store.isBest(point[2])).map(([x, y]) => [x, y]).sort((a, b) => a[0] - b[0]);
    return [{ data: front, color: c.best, width: 1.4, dash: [5, 4] }];
  }

  #named(at) {
    const { name, direction } = this.store.run.objectives[this.at[at]];
    return `${name} (${direction.toLowerCase()})`;
  }

  xAxis(c) {
    return axisStyle(c, this.#named(0), { type: "value" });
  }

  yAxis(c) {
    return axisStyle(c, this.#named(1), { type: "value", nameGap: 48 });
  }
}

// A number from 0 to 1 that is always the same for a trial, so that points of one value lie beside each other.
export function hash(id) {
  let value = 7;
  for (const character of id) value = (value * 31 + character.charCodeAt(0)) % 9973;
  return value / 9973;
}

export function cut(text, width = 16) {
  return text.length > width ? `${text.slice(0, width - 1)}…` : text;
}
