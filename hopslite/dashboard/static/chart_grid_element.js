// Small line charts side by side, one for each metric. Names from runs are drawn on a canvas or become text nodes.
import { echarts } from "nicegui-echart";

const PALETTE = {
  light: ["#0b6e6e", "#c2570c", "#0a5fa5", "#8a3ffc", "#a8261c", "#5c6875", "#17693a", "#9f1853"],
  dark: ["#4fc3bd", "#ff9d57", "#76b8f5", "#be95ff", "#ff9188", "#a3aebb", "#6cd391", "#ff7eb6"],
};
const HEIGHT = 190;

function short(value) {
  if (typeof value !== "number") return String(value ?? "");
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)) return value.toExponential(2).replace("e+", "e");
  return String(Number(value.toPrecision(5)));
}

function seconds(value) {
  if (value < 120) return `${Math.round(value)} s`;
  if (value < 7200) return `${Number((value / 60).toPrecision(3))} min`;
  return `${Number((value / 3600).toPrecision(3))} h`;
}

function node(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

export default {
  template: '<div class="hl-charts"></div>',
  props: { data: String, empty: String },
  watch: {
    data(text) {
      this.update(text);
    },
  },
  mounted() {
    this.charts = new Map();
    this.logs = new Set();
    this.theme = new MutationObserver(() => this.draw());
    this.theme.observe(document.body, { attributes: true, attributeFilter: ["class"] });
    this.resize = new ResizeObserver(() => this.charts.forEach(({ chart }) => chart.resize()));
    this.resize.observe(this.$el);
    this.update(this.data ?? "[]");
  },
  beforeUnmount() {
    this.theme.disconnect();
    this.resize.disconnect();
    this.charts.forEach(({ chart }) => chart.dispose());
  },
  methods: {
    update(text) {
      this.panels = JSON.parse(text);
      this.draw();
    },
    draw() {
      const titles = new Set(this.panels.map((panel) => panel.title));
      for (const [title, { root, chart }] of this.charts) {
        if (!titles.has(title)) { chart.dispose(); root.remove(); this.charts.delete(title); }
      }
      this.note?.remove();
      if (!this.panels.length) this.$el.append(this.note = node("div", "hl-empty", this.empty ?? "nothing yet"));
      const style = getComputedStyle(document.body);
      const colour = (name) => style.getPropertyValue(`--hl-${name}`).trim();
      for (const panel of this.panels) {
        const made = this.charts.get(panel.title) ?? this.make(panel.title);
        made.panel = panel;
        this.paint(made, colour);
      }
    },
    make(title) {
      const root = node("section", "hl-card hl-chart-card");
      const head = node("div", "hl-chart-head");
      const value = node("span", "hl-chart-value");
      const log = node("button", "hl-log-button", "log");
      log.type = "button";
      log.title = "logarithmic values";
      log.setAttribute("aria-pressed", "false");
      log.addEventListener("click", () => {
        this.logs.has(title) ? this.logs.delete(title) : this.logs.add(title);
        log.setAttribute("aria-pressed", String(this.logs.has(title)));
        this.draw();
      });
      head.append(node("h3", "", title), value, log);
      const body = node("div", "hl-chart-body");
      body.style.height = `${HEIGHT}px`;
      root.append(head, body);
      this.$el.append(root);
      const chart = echarts.init(body, null, { renderer: "canvas" });
      const made = { root, chart, value };
      this.charts.set(title, made);
      return made;
    },
    paint({ chart, value, panel, root }, colour) {
      const isLog = this.logs.has(panel.title);
      const palette = PALETTE[document.body.classList.contains("body--dark") ? "dark" : "light"];
      const drawn = panel.series.map((line, at) => ({
        name: line.name, type: "line", symbol: line.points.length === 1 ? "circle" : "none", symbolSize: 5, animation: false,
        sampling: "lttb", lineStyle: { width: 1.7 }, itemStyle: { color: palette[at % palette.length] },
        data: isLog ? line.points.filter(([, y]) => y > 0) : line.points,
      }));
      const lasts = panel.series.map((line) => line.points[line.points.length - 1]?.[1]);
      value.textContent = panel.series.length === 1 ? `${short(lasts[0])}${panel.unit ? ` ${panel.unit}` : ""}` : panel.unit ?? "";
      const label = { color: colour("soft"), fontSize: 11, hideOverlap: true };
      const x = panel.isTime ? seconds : short;
      root.classList.toggle("hl-many", panel.series.length > 1);
      chart.setOption({
        backgroundColor: "transparent", textStyle: { fontFamily: "inherit" },
        grid: { left: 8, right: 14, top: panel.series.length > 1 ? 30 : 10, bottom: 6, containLabel: true },
        legend: panel.series.length > 1
          ? { type: "scroll", top: 0, left: 0, itemWidth: 14, itemHeight: 8, icon: "roundRect", textStyle: { color: colour("soft"), fontSize: 11 } } : { show: false },
        xAxis: { type: "value", min: "dataMin", max: "dataMax", axisLabel: { ...label, formatter: x }, splitLine: { show: false },
          axisLine: { lineStyle: { color: colour("line") } }, axisTick: { show: false }, splitNumber: 4 },
        yAxis: { type: isLog ? "log" : "value", scale: true, axisLabel: { ...label, formatter: short }, splitNumber: 4,
          min: panel.fromZero && !isLog ? 0 : undefined, splitLine: { lineStyle: { color: colour("line"), opacity: 0.7 } } },
        tooltip: { trigger: "axis", confine: true, transitionDuration: 0, padding: [6, 9], backgroundColor: colour("card"), borderColor: colour("line"),
          textStyle: { color: colour("ink"), fontSize: 12 }, formatter: (points) => this.tip(points, panel, x) },
        series: drawn,
      }, { replaceMerge: ["series"] });
    },
    // ECharts takes an element as well as markup.
    tip(points, panel, x) {
      const box = node("div");
      const at = points[0]?.value[0];
      box.append(node("div", "hl-soft", panel.isTime ? x(at) : `${panel.x ?? "step"} ${x(at)}`));
      for (const point of points) {
        const row = node("div");
        const mark = node("span", "hl-mark");
        mark.style.background = point.color;
        row.append(mark, document.createTextNode(`${point.seriesName}: ${short(point.value[1])}`));
        box.append(row);
      }
      return box;
    },
  },
};
