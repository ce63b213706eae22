// Two canvases for the marks of trials: one with all of them, which is only faded while some are selected, and one
// with the selected and the best ones. So the work of a selection is that of drawing what is selected.
import { el } from "hopslite-dashboard/dom.js";

const FADED = 0.16;

export class Layers {
  constructor(body) {
    this.all = el("canvas", { class: "hl-layer", "aria-hidden": "true" });
    this.chosen = el("canvas", { class: "hl-layer", "aria-hidden": "true" });
    body.append(this.all, this.chosen);
  }

  fade(isFaded) {
    this.all.style.opacity = isFaded ? FADED : 1;
  }

  // An empty canvas to draw on, in CSS pixels.
  pen(layer, width, height) {
    const canvas = this[layer], ratio = window.devicePixelRatio || 1;
    const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== across || canvas.height !== down) Object.assign(canvas, { width: across, height: down });
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.lineJoin = "round";
    return pen;
  }
}

const TOGETHER = 12; // lines in a path: one by one costs calls, all in one path costs their crossings

// Lines of [x, y, x, y …] in pixels, in one style.
export function strokeLines(pen, lines, { color, width, dash = [], opacity = 1 }) {
  Object.assign(pen, { strokeStyle: color, lineWidth: width, globalAlpha: opacity });
  pen.setLineDash(dash);
  lines.forEach((line, place) => {
    if (place % TOGETHER === 0) pen.beginPath();
    let isDown = false;
    for (let at = 0; at < line.length; at += 2) {
      if (Number.isNaN(line[at + 1])) isDown = false;
      else if (isDown) pen.lineTo(line[at], line[at + 1]);
      else { pen.moveTo(line[at], line[at + 1]); isDown = true; }
    }
    if (place % TOGETHER === TOGETHER - 1 || place === lines.length - 1) pen.stroke();
  });
  pen.setLineDash([]);
  pen.globalAlpha = 1;
}

// Dots of [x, y, x, y …] in pixels: the picture of one is copied, which is faster than to draw each.
export function stampDots(pen, dots, { color, edge, edgeWidth = 0, radius, opacity = 1 }) {
  if (!dots.length) return;
  const ratio = window.devicePixelRatio || 1, half = radius + edgeWidth + 1;
  const stamp = document.createElement("canvas");
  stamp.width = stamp.height = Math.ceil(2 * half * ratio);
  const dot = stamp.getContext("2d");
  dot.scale(ratio, ratio);
  dot.arc(half, half, radius, 0, 2 * Math.PI);
  if (color) { dot.fillStyle = color; dot.fill(); }
  if (edge) { dot.strokeStyle = edge; dot.lineWidth = edgeWidth; dot.stroke(); }
  pen.globalAlpha = opacity;
  const size = stamp.width / ratio;
  for (let at = 0; at < dots.length; at += 2) pen.drawImage(stamp, dots[at] - half, dots[at + 1] - half, size, size);
  pen.globalAlpha = 1;
}
