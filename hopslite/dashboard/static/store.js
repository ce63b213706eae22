// The run in the browser: trials, curves and attempts, and the selection that all views share.

const FIELDS = ["id", "state", "metric", "params", "started", "duration", "slot", "host", "generation", "continues",
  "message", "metrics", "attempt", "latest"];
const CURVE_POINTS = 128;
export const FINAL = new Set(["FINISHED", "STOPPED", "FAILED", "KILLED"]);

export class Store {
  constructor() {
    this.rev = -1;
    this.run = null;
    this.trials = new Map();
    this.selection = null; // ids, or null for all trials
    this.source = null; // the view that has made the selection
    this.listeners = new Set();
  }

  load(data) {
    this.#take(data);
    this.offset = data.now - Date.now() / 1000;
    this.trials = new Map();
    this.loaded = new Set(data.curvesOf === null ? [] : [data.curvesOf]); // metrics
    this.fetchedAt = data.rev;
    this.attempts = data.attempts;
    data.trials.forEach((row) => this.#put(row, false));
    this.#putCurves(data.curves);
    this.#changed();
  }

  // Returns false if these changes do not follow on what is here.
  apply(data) {
    if (data.from > this.rev) return false;
    if (data.rev <= this.rev) return true;
    if (data.from < this.rev) return false;
    const count = this.metrics.length;
    this.#take(data);
    for (let place = count; place < this.metrics.length; place += 1) this.#expect(place);
    data.trials.forEach((row) => this.#put(row, true));
    const mayRepeat = data.from < this.fetchedAt;
    for (const [id, metric, step, value] of data.points) this.#point(id, metric, step, value, mayRepeat);
    this.attempts.push(...data.attempts);
    this.#changed();
    return true;
  }

  // Curves that the server has sent apart; false if they are older than what is here.
  addCurves(data) {
    if (data.rev < this.rev) return false;
    this.fetchedAt = Math.max(this.fetchedAt, data.rev);
    if (data.isSample) this.loaded.add(data.metric);
    this.#putCurves(data.curves);
    return true;
  }

  // A metric that nobody had reported before: all its points come as changes.
  #expect(metric) {
    this.loaded.add(metric);
    for (const trial of this.trials.values()) trial.whole.add(metric);
  }

  #take(data) {
    Object.assign(this, { rev: data.rev, run: data.run, params: data.params, space: data.space, metrics: data.metrics });
    this.best = new Set(data.run.front);
    if (data.run.best) this.best.add(data.run.best);
  }

  #putCurves(curves) {
    for (const [id, metric, steps, values] of curves) {
      const trial = this.trials.get(id);
      trial?.curves.set(metric, [steps, values]);
      trial?.whole.add(metric);
    }
  }

  #put(row, isNew) {
    const trial = Object.fromEntries(FIELDS.map((name, place) => [name, row[place]]));
    const before = this.trials.get(trial.id);
    const isAgain = before && trial.attempt !== before.attempt;
    trial.curves = before && !isAgain ? before.curves : new Map();
    // metrics whose curve is here from its first point on
    trial.whole = before && !isAgain ? before.whole : new Set(isNew ? this.loaded : []);
    trial.end = trial.started !== null && trial.duration !== null ? trial.started + trial.duration : null;
    this.trials.set(trial.id, trial);
  }

  #point(id, metric, step, value, mayRepeat) {
    const trial = this.trials.get(id);
    if (!trial) return;
    if (metric === this.keyPlace) trial.latest = value;
    if (!trial.whole.has(metric)) return;
    let curve = trial.curves.get(metric);
    if (!curve) trial.curves.set(metric, (curve = [[], []]));
    if (mayRepeat && curve[0].length && step <= curve[0][curve[0].length - 1]) return;
    curve[0].push(step);
    curve[1].push(value);
    if (curve[0].length > CURVE_POINTS) {
      const keep = (_, place) => place % 2 === 0 || place === curve[0].length - 1;
      const thinned = [curve[0].filter(keep), curve[1].filter(keep)];
      trial.curves.set(metric, thinned);
    }
  }

  #changed() {
    this.list = [...this.trials.values()];
    this.scored = this.list.filter((trial) => trial.metric !== null && FINAL.has(trial.state));
    this.byEnd = [...this.scored].sort((a, b) => (a.end ?? Infinity) - (b.end ?? Infinity));
    const values = this.scored.map((trial) => trial.metric).sort((a, b) => a - b);
    this.range = values.length ? [values[0], values[values.length - 1]] : null;
    const quartile = (share) => values[Math.floor(share * (values.length - 1))];
    this.middle = values.length ? [quartile(0.05), quartile(0.95)] : null; // without outliers, for colours
    this.counts = {};
    for (const trial of this.list) this.counts[trial.state] = (this.counts[trial.state] ?? 0) + 1;
    this.#notify("data");
  }

  // Number of the metric that the run optimizes, among those that trials report.
  get keyPlace() {
    return Math.max(0, this.metrics.indexOf(this.run.key));
  }

  get isMax() {
    return this.run.direction === "MAX";
  }

  now() {
    return Date.now() / 1000 + this.offset;
  }

  // 0 for the worst, 1 for the best.
  goodness(trial) {
    if (trial.metric === null || !this.middle || this.middle[0] === this.middle[1]) return 0.5;
    const share = Math.min(1, Math.max(0, (trial.metric - this.middle[0]) / (this.middle[1] - this.middle[0])));
    return this.isMax ? share : 1 - share;
  }

  isSelected(trial) {
    return this.selection === null || this.selection.has(trial.id);
  }

  isBest(trial) {
    return this.best.has(trial.id);
  }

  // At most about so many of these trials, the best and the running ones always.
  sample(trials, most) {
    if (trials.length <= most) return trials;
    const every = Math.ceil(trials.length / most);
    return trials.filter((trial, place) => place % every === 0 || this.isBest(trial) || trial.state === "RUNNING");
  }

  select(ids, source) {
    const all = ids === null || ids.length === this.trials.size;
    this.source = ids === null ? null : source;
    if (all && this.selection === null) return;
    this.selection = all ? null : new Set(ids);
    this.#notify("selection");
  }

  // Axis of a parameter: numbers, on a log scale if the space has one, or categories.
  axis(place) {
    const hint = this.space[place] ?? {};
    const values = this.list.map((trial) => trial.params[place]).filter((value) => value !== null && value !== undefined);
    const isNumber = values.length > 0 && values.every((value) => typeof value === "number");
    if (!isNumber || hint.type === "choice") {
      const listed = (hint.values ?? []).map(String);
      const names = [...new Set([...listed, ...values.map(String)])];
      if (!isNumber || names.length <= 12) return { kind: "category", names };
    }
    const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
    const isLog = low > 0 && (hint.log || hint.type === "loguniform" || (!hint.type && high / low >= 100));
    const ends = typeof hint.low === "number" && typeof hint.high === "number" ? [hint.low, hint.high] : [low, high];
    return { kind: isLog ? "log" : "value", low: Math.min(low, ends[0]), high: Math.max(high, ends[1]) };
  }

  listen(listener) {
    this.listeners.add(listener);
  }

  #notify(what) {
    for (const listener of this.listeners) listener(what);
  }
}
