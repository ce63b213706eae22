// Parallel coordinates: an axis for each parameter and one for the metric; ranges drawn on axes select trials.
import { between, el, short } from "hopslite-dashboard/dom.js";
import { Layers, strokeLines } from "hopslite-dashboard/layers.js";
import { Panel } from "hopslite-dashboard/panel.js";
import { coordinate, spanOf, ticksOf } from "hopslite-dashboard/parallel_axes.js";
import { cut } from "hopslite-dashboard/scatter.js";

const AXES = 16;
const LINES = 1000;
const SHADES = 24;
const [LEFT, RIGHT, TOP, BOTTOM] = [46, 66, 14, 34];
const CLICK = 4; // pixels that the pointer may move in a click

export class Parallel extends Panel {
  constructor(store) {
    super(store, "Parallel coordinates", { wide: true, height: 330 });
    this.ranges = new Map(); // coordinates on an axis by its name, from the lower to the higher one
    this.axes = [];
  }

  problem() {
    if (!this.store.params.length) return "The trials have no parameters.";
    return this.#trials().length ? null : "No trial with a metric has ended yet.";
  }

  // Trials without a metric have no line; with several metrics those that have all of them.
  #trials() {
    const { run, list, scored } = this.store;
    return run.objectives.length ? list.filter((trial) => trial.metrics.length) : scored;
  }

  made() {
    this.layers = new Layers(this.body);
    this.layers.scales = el("canvas", { class: "hl-layer", "aria-hidden": "true" });
    this.body.append(this.layers.scales); // labels are above the lines
    this.handles = el("div", { class: "hl-handles" });
    this.body.append(this.handles);
    return { resize: () => {}, dispose: () => this.frame && cancelAnimationFrame(this.frame) };
  }

  resized() {
    if (this.colours) this.#paint(true);
  }

  draw(what, c) {
    const { store } = this;
    this.colours = c;
    if (what === "data") this.#measure();
    if (store.source !== this) this.ranges.clear();
    this.#paint(what === "data");
    const omitted = store.params.length - AXES;
    const left = this.trials.length - this.sampled.length;
    this.say(["Draw a range on an axis to select trials; click it to undo.", omitted > 0 ? `${omitted} more parameters are in the table.` : "",
      left > 0 ? `${this.sampled.length} of ${this.trials.length} lines are drawn, those of the best always.` : ""].filter(Boolean).join(" "));
  }

  #measure() {
    const { store } = this;
    this.trials = [...this.#trials()].sort((a, b) => store.goodness(a) - store.goodness(b)); // the best on top
    const goals = store.run.objectives.length ? store.run.objectives : [{ name: store.run.key }];
    const parameter = (place) => ({ ...store.axis(place), name: store.params[place], value: (trial) => trial.params[place] });
    const goal = ({ name }, at) => ({ kind: "value", name, isGoal: true,
      value: (trial) => (store.run.objectives.length ? trial.metrics[at]?.[1] : trial.metric) });
    this.axes = [...store.params.slice(0, AXES).map((_, place) => parameter(place)), ...goals.map(goal)];
    this.places = new Map(this.trials.map((trial) => [trial, new Float64Array(this.axes.length)]));
    this.axes.forEach((axis, at) => {
      if (axis.kind === "category") axis.places = new Map(axis.names.map((name, place) => [name, place]));
      if (axis.isGoal) Object.assign(axis, extent(this.trials.map(axis.value)));
      axis.span = spanOf(axis);
      for (const trial of this.trials) this.places.get(trial)[at] = coordinate(axis, axis.value(trial));
    });
    this.sampled = store.sample(this.trials, LINES);
  }

  #x(at) {
    const width = this.width - LEFT - RIGHT;
    return LEFT + (this.axes.length > 1 ? (width * at) / (this.axes.length - 1) : width / 2);
  }

  #y(axis, place) {
    const [low, high] = axis.span;
    return TOP + (1 - (place - low) / (high - low)) * (this.height - TOP - BOTTOM);
  }

  #place(axis, y) {
    const share = 1 - (y - TOP) / (this.height - TOP - BOTTOM);
    return axis.span[0] + Math.max(0, Math.min(1, share)) * (axis.span[1] - axis.span[0]);
  }

  #paint(isNew) {
    const { store, colours: c } = this;
    if (isNew) {
      this.#paintAxes(c);
      this.#lines(this.layers.pen("all", this.width, this.height), this.sampled.filter((trial) => !store.isBest(trial)), c);
      this.#layHandles();
    }
    this.layers.fade(store.selection !== null);
    const chosen = store.selection === null ? [] : store.sample(this.trials.filter((trial) => store.isSelected(trial)), LINES);
    const pen = this.layers.pen("chosen", this.width, this.height);
    this.#lines(pen, chosen.filter((trial) => !store.isBest(trial)), c);
    const best = this.trials.filter((trial) => store.isBest(trial));
    for (const trial of best) strokeLines(pen, [this.#line(trial)], { color: c.best, width: 2.4, opacity: store.isSelected(trial) ? 1 : 0.15 });
    this.#showRanges();
  }

  #line(trial) {
    const places = this.places.get(trial), line = [];
    for (let at = 0; at < places.length; at += 1) line.push(this.#x(at), this.#y(this.axes[at], places[at]));
    return line;
  }

  #lines(pen, trials, c) {
    const isFew = trials.length <= 300;
    const shades = Array.from({ length: SHADES }, () => []);
    for (const trial of trials) shades[Math.round(this.store.goodness(trial) * (SHADES - 1))].push(this.#line(trial));
    shades.forEach((lines, at) => strokeLines(pen, lines, {
      color: between(c.low, c.high, at / (SHADES - 1)), width: isFew ? 1.3 : 1, opacity: isFew ? 0.75 : 0.4 }));
  }

  #paintAxes(c) {
    const pen = this.layers.pen("scales", this.width, this.height);
    const family = getComputedStyle(this.body).fontFamily;
    const bottom = this.height - BOTTOM;
    const room = this.axes.length > 1 ? this.#x(1) - this.#x(0) : 200;
    this.axes.forEach((axis, at) => {
      const x = Math.round(this.#x(at)) + 0.5;
      Object.assign(pen, { strokeStyle: c.soft, lineWidth: 1 });
      pen.globalAlpha = 0.6;
      pen.beginPath();
      pen.moveTo(x, TOP);
      pen.lineTo(x, bottom);
      pen.stroke();
      pen.globalAlpha = 1;
      pen.font = `${axis.isGoal ? "bold " : ""}11px ${family}`;
      pen.fillStyle = axis.isGoal ? c.ink : c.soft;
      pen.textAlign = "center";
      pen.fillText(cut(axis.name, Math.max(5, Math.min(20, Math.floor(room / 6.5)))), x, bottom + 20);
      pen.font = `10.5px ${family}`;
      pen.fillStyle = c.ink;
      pen.strokeStyle = c.card;
      pen.lineWidth = 2.5;
      pen.textAlign = "left";
      for (const [place, text] of ticksOf(axis, short)) {
        const y = this.#y(axis, place);
        pen.fillRect(x, y - 0.5, 4, 1);
        pen.strokeText(cut(text, 12), x + 7, y + 3.5);
        pen.fillText(cut(text, 12), x + 7, y + 3.5);
      }
    });
  }

  // Elements that take the pointer, as a touch on an axis must not scroll the page.
  #layHandles() {
    const height = this.height - TOP - BOTTOM;
    if (this.handles.childElementCount !== this.axes.length) {
      this.handles.replaceChildren(...this.axes.map((_, at) => {
        const handle = el("div", { class: "hl-handle" }, el("div", { class: "hl-range", hidden: true }));
        handle.addEventListener("pointerdown", (event) => this.#down(event, at, handle));
        handle.addEventListener("pointermove", (event) => this.#move(event));
        handle.addEventListener("pointerup", () => this.#up());
        handle.addEventListener("pointercancel", () => { this.drag = null; });
        return handle;
      }));
    }
    [...this.handles.children].forEach((handle, at) =>
      Object.assign(handle.style, { left: `${this.#x(at) - 12}px`, top: `${TOP}px`, height: `${height}px` }));
  }

  #showRanges() {
    this.axes.forEach((axis, at) => {
      const mark = this.handles.children[at].firstElementChild;
      const range = this.ranges.get(axis.name);
      mark.hidden = !range;
      if (!range) return;
      const [bottom, top] = range.map((place) => this.#y(axis, place) - TOP);
      Object.assign(mark.style, { top: `${top}px`, height: `${Math.max(1, bottom - top)}px` });
    });
  }

  #down(event, at, handle) {
    if (event.button !== 0) return;
    handle.setPointerCapture(event.pointerId);
    this.drag = { at, from: this.#top(event), isRange: false };
  }

  #top(event) {
    return event.clientY - this.body.getBoundingClientRect().top;
  }

  #move(event) {
    if (!this.drag) return;
    const { at, from } = this.drag, to = this.#top(event);
    if (!this.drag.isRange && Math.abs(to - from) < CLICK) return;
    this.drag.isRange = true;
    const axis = this.axes[at];
    this.ranges.set(axis.name, [this.#place(axis, Math.max(from, to)), this.#place(axis, Math.min(from, to))]);
    this.frame ??= requestAnimationFrame(() => this.#select());
  }

  #up() {
    const { drag } = this;
    this.drag = null;
    if (!drag || drag.isRange || !this.ranges.delete(this.axes[drag.at].name)) return;
    this.frame ??= requestAnimationFrame(() => this.#select());
  }

  #select() {
    this.frame = null;
    const { store } = this;
    const ranges = this.axes.flatMap((axis, at) => (this.ranges.has(axis.name) ? [[at, ...this.ranges.get(axis.name)]] : []));
    if (!ranges.length) {
      store.select(null, this);
      return;
    }
    const isInside = (trial) => {
      const places = this.places.get(trial);
      return ranges.every(([at, low, high]) => places[at] >= low && places[at] <= high);
    };
    store.select(this.trials.filter(isInside).map((trial) => trial.id), this);
    this.#showRanges();
  }
}

function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (typeof value !== "number") continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low <= high ? { low, high } : { low: 0, high: 1 };
}
