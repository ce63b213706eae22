// Marks of trials in a plane. ECharts draws the axes, the marks are drawn here: an element of ECharts for each trial
// takes a second for a thousand of them.
import { el } from "hopslite-dashboard/dom.js";
import { Layers } from "hopslite-dashboard/layers.js";
import { base, Panel } from "hopslite-dashboard/panel.js";

const NEAR = 12; // pixels between the pointer and a mark that it means
const CLICK = 4; // pixels that the pointer may move in a click

// What a kind of plane has: `axes(c)` with options of ECharts and `corners`, two points between which its marks are;
// `paint(pen, c, isChosen)` for all trials, or for those that `isChosen` and for what is always seen; `near(x, y,
// most)`, the mark at a pixel; `hint(mark)`, HTML; and, if ranges can be drawn, `inside(left, top, right, bottom)`.
export class Plane extends Panel {
  ready() {
    this.layers = new Layers(this.body);
    this.tip = el("div", { class: "hl-tip", hidden: true });
    this.band = el("div", { class: "hl-band", hidden: true });
    this.body.append(this.band, this.tip);
    this.body.addEventListener("pointermove", (event) => this.#move(event));
    this.body.addEventListener("pointerleave", () => this.#point(-1e6, 0));
    this.body.addEventListener("pointerdown", (event) => this.#down(event));
    this.body.addEventListener("pointerup", (event) => this.#up(event));
    this.body.addEventListener("pointercancel", () => { this.drag = null; });
    if (this.inside) this.body.classList.add("hl-brushable");
  }

  draw(what, c) {
    if (what === "data") {
      const { corners, ...axes } = this.axes(c);
      const ghost = { type: "scatter", data: corners, symbolSize: 0, silent: true, animation: false, tooltip: { show: false } };
      this.chart.setOption({ ...base(c), grid: { left: 62, right: 16, top: 12, bottom: 40 }, ...axes, series: [ghost] }, true);
      this.corners = corners;
    }
    this.paintAll(c, what === "data");
    if (this.store.source !== this) this.band.hidden = true;
  }

  paintAll(c, isNew) {
    this.colours = c;
    this.x = this.#scale("x", 0);
    this.y = this.#scale("y", 1);
    if (isNew) this.#clipped("all", (pen) => this.paint(pen, c, null));
    this.layers.fade(this.store.selection !== null);
    this.#clipped("chosen", (pen) => this.paint(pen, c, (trial) => this.store.selection !== null && this.store.isSelected(trial)));
  }

  resized() {
    super.resized();
    this.paintAll(this.colours, true);
  }

  #clipped(layer, paint) {
    const { x, y, width, height } = this.chart.getModel().getComponent("grid").coordinateSystem.getRect();
    const pen = this.layers.pen(layer, this.width, this.height);
    pen.save();
    pen.beginPath();
    pen.rect(x - 6, y - 6, width + 12, height + 12);
    pen.clip();
    paint(pen);
    pen.restore();
  }

  // Pixel of a value: axes are linear in it, or in its logarithm.
  #scale(name, at) {
    const axis = this.chart.getModel().getComponent(`${name}Axis`);
    const isLog = axis.get("type") === "log";
    const [low, high] = this.corners.map((corner) => (isLog ? Math.log10(corner[at]) : corner[at]));
    const far = high === low ? low + 1 : high;
    const pixel = (value) => this.chart.convertToPixel({ [`${name}AxisIndex`]: 0 }, isLog ? 10 ** value : value);
    const start = pixel(low), slope = (pixel(far) - start) / (far - low);
    return isLog ? (value) => start + (Math.log10(value) - low) * slope : (value) => start + (value - low) * slope;
  }

  #at(event) {
    const box = this.body.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #down(event) {
    if (event.button !== 0) return;
    this.drag = { from: this.#at(event), isRange: false };
  }

  #move(event) {
    const [x, y] = this.#at(event);
    if (!this.drag || !this.inside || event.pointerType === "touch") return this.#point(x, y);
    const { from } = this.drag;
    if (!this.drag.isRange && Math.hypot(x - from[0], y - from[1]) < CLICK) return undefined;
    if (!this.drag.isRange) this.body.setPointerCapture(event.pointerId);
    this.drag.isRange = true;
    this.tip.hidden = true;
    this.range = [Math.min(x, from[0]), Math.min(y, from[1]), Math.max(x, from[0]), Math.max(y, from[1])];
    return this.#selectSoon();
  }

  #up(event) {
    const { drag } = this;
    this.drag = null;
    if (!drag || drag.isRange) return;
    this.#point(...this.#at(event));
    if (this.pointed) this.store.open(this.pointed.trial.id);
    else if (this.inside && this.store.source === this) this.store.select(null, this);
  }

  // At most once a frame.
  #selectSoon() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      const [left, top, right, bottom] = this.range;
      Object.assign(this.band.style, { left: `${left}px`, top: `${top}px`, width: `${right - left}px`, height: `${bottom - top}px` });
      this.store.select(this.inside(...this.range), this);
      this.band.hidden = this.store.source !== this;
    });
  }

  // Show the trial whose mark is nearest to the pointer.
  #point(x, y) {
    this.pointed = this.x ? this.near(x, y, NEAR) : null;
    this.tip.hidden = !this.pointed;
    this.body.style.cursor = this.pointed ? "pointer" : "";
    if (!this.pointed) return;
    this.tip.innerHTML = this.hint(this.pointed);
    const isRight = x > this.body.clientWidth / 2;
    this.tip.style.left = isRight ? "" : `${x + 14}px`;
    this.tip.style.right = isRight ? `${this.body.clientWidth - x + 14}px` : "";
    this.tip.style.top = `${Math.max(0, Math.min(y, this.body.clientHeight - this.tip.offsetHeight))}px`;
  }

  dispose() {
    if (this.frame) cancelAnimationFrame(this.frame);
    super.dispose();
  }
}
