// Draws the charts that a page carries as JSON (analytics/charts.py). Every number in them stands in a table, too.

const UNITS = {
  usd: new Intl.NumberFormat("en", { style: "currency", currency: "USD", maximumSignificantDigits: 3 }),
  count: new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }),
};
const seconds = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const shown = {
  usd: (value) => UNITS.usd.format(value),
  count: (value) => UNITS.count.format(value),
  ms: (value) => (value < 1000 ? `${Math.round(value)} ms` : `${seconds.format(value / 1000)} s`),
};

// A canvas takes no var(): a colour is what an element comes to have with it.
const probe = document.createElement("span");
probe.hidden = true;
document.body.append(probe);
const colour = (name) => {
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
};

const LONGEST = 24;
const cut = (label) => (label.length > LONGEST ? `${label.slice(0, LONGEST - 1)}…` : label);

const options = ({ unit, across, stacked, series, labels }) => {
  const ink = colour("ink-soft"), line = colour("line");
  const values = { stacked, beginAtZero: true, grid: { color: line }, border: { display: false },
    ticks: { color: ink, maxTicksLimit: 5, callback: shown[unit] } };
  const names = { stacked, grid: { display: false }, border: { color: line },
    ticks: { color: ink, autoSkip: !across, autoSkipPadding: 8, maxRotation: 0, callback: (_, index) => cut(labels[index]) } };
  return {
    animation: false, responsive: true, maintainAspectRatio: false, indexAxis: across ? "y" : "x",
    interaction: { mode: "index", intersect: false, axis: across ? "y" : "x" },
    scales: across ? { x: values, y: names } : { x: names, y: values },
    plugins: {
      legend: { display: series.length > 1, align: "end", labels: { color: ink, boxWidth: 10, boxHeight: 10 } },
      tooltip: {
        callbacks: {
          title: (items) => labels[items[0].dataIndex],
          label: ({ dataset, parsed }) => `${dataset.label}: ${shown[unit](across ? parsed.x : parsed.y)}`,
        },
      },
    },
  };
};

const dataset = ({ line, series }) => ({ label, tone, data }) => ({
  label, data, backgroundColor: colour(tone), borderColor: colour(tone), maxBarThickness: 28,
  ...(line && { borderWidth: 2, pointRadius: data.length > 40 ? 0 : 2.5, tension: 0.25, spanGaps: true }),
  ...(!line && { borderRadius: series.length > 1 ? 0 : 3 }),
});

const draw = (chart) => {
  const canvas = document.getElementById(`chart-${chart.id}`);
  if (!canvas) return;
  Chart.getChart(canvas)?.destroy();
  const data = { labels: chart.labels, datasets: chart.series.map(dataset(chart)) };
  new Chart(canvas, { type: chart.line ? "line" : "bar", data, options: options(chart) });
};

const drawAll = () => {
  const source = document.getElementById("chart-data");
  if (!source) return;
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  JSON.parse(source.textContent).forEach(draw);
};

drawAll();
// htmx hands a canvas's style on to the one that takes its place, as an attribute, which the page's policy forbids.
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  for (const canvas of detail.target.querySelectorAll("canvas")) {
    Chart.getChart(canvas)?.destroy();
    canvas.removeAttribute("style");
  }
});
document.addEventListener("htmx:afterSettle", drawAll);
// The theme is an attribute; the system's change of mind sets it as well.
new MutationObserver(drawAll).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
