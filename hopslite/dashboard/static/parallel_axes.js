// Axes of parallel coordinates: numbers are placed by value or logarithm, categories by their number.

const TICKS = 6;

// Place of a value on an axis; NaN for one that it has no place for.
export function coordinate(axis, value) {
  if (value === null || value === undefined) return NaN;
  if (axis.kind === "category") return axis.places.get(String(value)) ?? NaN;
  return axis.kind === "log" ? Math.log10(value) : Number(value);
}

// Places of an axis's ends.
export function spanOf(axis) {
  if (axis.kind === "category") return axis.names.length > 1 ? [0, axis.names.length - 1] : [-0.5, 0.5];
  const [low, high] = [axis.low, axis.high].map((value) => coordinate(axis, value));
  if (low === high) return [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  return [low, high];
}

// Places and texts of the ticks.
export function ticksOf(axis, format) {
  const [low, high] = axis.span;
  if (axis.kind === "category") {
    const every = Math.ceil(axis.names.length / 24);
    return axis.names.flatMap((name, place) => (place % every ? [] : [[place, name]]));
  }
  if (axis.kind === "log") {
    const factors = high - low < 1 ? [1, 2, 5] : [1];
    const every = Math.ceil((high - low) / 10);
    const ticks = [];
    for (let power = Math.floor(low); power <= high; power += every) {
      for (const factor of factors) ticks.push(power + Math.log10(factor));
    }
    const isInside = (place) => place >= low - 1e-9 && place <= high + 1e-9;
    return ticks.filter(isInside).map((place) => [place, format(Number((10 ** place).toPrecision(6)))]);
  }
  const step = niceStep((high - low) / TICKS);
  const ticks = [];
  for (let number = Math.ceil(low / step - 1e-9); number * step <= high + step * 1e-9; number += 1) ticks.push(number * step);
  return ticks.map((place) => [place, format(Number(place.toPrecision(12)))]);
}

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
}
