// Importance of parameters, which the server estimates when somebody looks at it.
import { axisStyle, base, Panel } from "hopslite-dashboard/panel.js";
import { cut } from "hopslite-dashboard/scatter.js";

export class Importance extends Panel {
  constructor(store, estimate) {
    super(store, "Importance of parameters");
    Object.assign(this, { estimate, result: null, at: -1, isBusy: false });
  }

  problem() {
    const count = this.store.scored.length;
    const isStale = count !== this.at && (this.at < 0 || count >= this.at * 1.2 || this.store.run.state !== "RUNNING");
    if (isStale && !this.isBusy) this.#ask(count);
    if (!this.result) return "Estimating …";
    return this.result.problem || null;
  }

  async #ask(count) {
    Object.assign(this, { isBusy: true, at: count });
    try {
      this.result = await this.estimate();
    } catch {
      this.result = { problem: "The importance could not be estimated." };
    }
    this.isBusy = false;
    this.changed("data");
  }

  draw(_, c) {
    const rows = [...this.result.bars].reverse();
    const option = {
      ...base(c), grid: { left: 110, right: 44, top: 6, bottom: 40 },
      xAxis: axisStyle(c, `explained share of the metric's ranks: ${Math.round(100 * this.result.explained)} % in all`, {
        type: "value", min: 0, scale: false, axisLabel: { color: c.soft, fontSize: 11, formatter: (value) => `${Math.round(100 * value)} %` } }),
      yAxis: { type: "category", data: rows.map(([name]) => cut(name, 16)), axisLabel: { color: c.ink, fontSize: 11 }, axisTick: { show: false }, axisLine: { lineStyle: { color: c.line } } },
      series: [{ type: "bar", data: rows.map(([, mean]) => mean), barMaxWidth: 16, itemStyle: { color: c.accent, borderRadius: [0, 2, 2, 0] },
        label: { show: true, position: "right", color: c.soft, fontSize: 11, formatter: ({ value }) => `${Math.round(100 * value)} %` } }],
    };
    option.tooltip.show = false;
    this.chart.setOption(option, { replaceMerge: ["series"] });
  }
}
