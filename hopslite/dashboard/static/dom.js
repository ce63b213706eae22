// Elements, numbers and times. Texts from runs become text nodes, never markup.

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function number(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
  return String(Number(value.toPrecision(6)));
}

export function short(value) {
  if (typeof value !== "number") return String(value ?? "");
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5)) return value.toExponential(1).replace("e+", "e");
  return String(Number(value.toPrecision(3)));
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "";
  if (seconds < 0.0995 && seconds > 0) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${Math.max(0, seconds).toFixed(1)} s`;
  const total = Math.round(seconds);
  const [days, hours, minutes, rest] = [
    Math.floor(total / 86400), Math.floor(total / 3600) % 24, Math.floor(total / 60) % 60, total % 60];
  const two = (value) => String(value).padStart(2, "0");
  if (days) return `${days} d ${two(hours)} h`;
  if (hours) return `${hours} h ${two(minutes)} min`;
  return minutes ? `${minutes} min ${two(rest)} s` : `${rest} s`;
}

export function moment(seconds) {
  if (!seconds) return "";
  const then = new Date(seconds * 1000);
  const two = (value) => String(value).padStart(2, "0");
  const time = `${two(then.getHours())}:${two(then.getMinutes())}`;
  if (then.toDateString() === new Date().toDateString()) return `${time}:${two(then.getSeconds())}`;
  return `${then.getFullYear()}-${two(then.getMonth() + 1)}-${two(then.getDate())} ${time}`;
}

export function escaped(text) {
  return String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

export function colours() {
  const style = getComputedStyle(document.body);
  const read = (name) => style.getPropertyValue(`--hl-${name}`).trim();
  return Object.fromEntries(
    ["ink", "soft", "line", "card", "accent", "best", "dim", "good", "warn", "bad", "run", "low", "high"].map((name) => [name, read(name)]));
}

// Colour between two, in rgb; both as #rrggbb.
export function between(low, high, share) {
  const parts = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  const [from, to] = [parts(low), parts(high)];
  return `rgb(${from.map((value, i) => Math.round(value + (to[i] - value) * share)).join(",")})`;
}

export function select(label, options, value, onchange) {
  const box = el("select", { "aria-label": label, class: "hl-select" });
  const fill = (names, chosen) => {
    box.replaceChildren(...names.map((name, place) => el("option", { value: place, selected: place === chosen }, name)));
    box.value = String(chosen);
  };
  fill(options, value);
  box.addEventListener("change", () => onchange(Number(box.value)));
  box.fill = fill;
  return box;
}

export function toggle(label, on, onchange, title) {
  const button = el("button", { type: "button", class: "hl-toggle", "aria-pressed": String(on), title }, label);
  button.addEventListener("click", () => {
    const pressed = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(pressed));
    onchange(pressed);
  });
  return button;
}
