// The live charts of a machine: uPlot over the pictures that the server drew. The figures are read once; new points
// come over the page's socket, and while that is gone, all are read again with whatever else the page reads.
const HOUR = 3600;
const HEIGHT = 120;
const RUN_MS = 60_000; // how often a whole run is read
let uPlot = null;
let figures = null; // { times, step, series: { name: { values, said } } }, as charts.json has it
let reading = false;
let readAt = -Infinity;
const plots = new Map();

const box = () => document.querySelector("[data-plots]");
const ofRun = () => Boolean(box()?.dataset.plots.includes("?"));
// Tokens are written as light-dark(…); a canvas wants the colour that it comes to.
function colour(token) {
  const probe = document.createElement("span");
  probe.style.color = `var(${token})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const short = (value, digits) => String(Number(value.toFixed(digits)));
function bytes(value) {
  if (!value) return "0";
  let at = 0;
  for (; value >= 1000 && at < 4; at++) value /= 1000;
  return `${short(value, 1)} ${["B", "kB", "MB", "GB", "TB"][at]}`;
}
const rate = value => value ? `${bytes(value)}/s` : "0";
const amounts = { cpu: value => short(value, 2), memory: bytes, disk: rate, network: rate, tokens: value => Math.round(value).toLocaleString("en") };

// A round amount that is no less: the axis ends there, and half of it is marked as well.
function round(high) {
  const power = 10 ** Math.floor(Math.log10(high || 1));
  return power * [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find(factor => factor * power >= (high || 1));
}

function clock(options) {
  const zone = document.documentElement.dataset.zone;
  try { return new Intl.DateTimeFormat("en-GB", { ...options, timeZone: zone }); } catch { return new Intl.DateTimeFormat("en-GB", options); }
}
function times() {
  const hours = clock({ hour: "2-digit", minute: "2-digit" });
  const days = clock({ day: "numeric", month: "short" });
  return (plot, marks, axis, space, step) => marks.map(at => {
    const words = hours.format(at * 1000);
    return step >= 86_400 || words === "00:00" ? days.format(at * 1000) : words;
  });
}

function options(name, width) {
  const [line, grid, text] = ["--info", "--line", "--muted"].map(colour);
  const { fontFamily } = getComputedStyle(document.body);
  const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { show: false }, font: `11px ${fontFamily}` };
  return {
    width, height: HEIGHT, padding: [8, 12, 0, 0], legend: { show: false }, cursor: { show: false },
    tzDate: at => { try { return uPlot.tzDate(new Date(at * 1000), document.documentElement.dataset.zone); } catch { return new Date(at * 1000); } },
    scales: { y: { range: (_, low, high) => [0, round(high)] } },
    axes: [
      { ...axis, size: 24, gap: 4, space: 56, values: times() },
      { ...axis, size: 64, gap: 6, splits: (_, at, low, high) => [0, high / 2, high], values: (_, marks) => marks.map(amounts[name]) },
    ],
    series: [{}, { stroke: line, width: 1.5, points: { show: false } }],
  };
}

function draw(name, { values, said }) {
  const host = document.querySelector(`[data-series="${name}"]`);
  if (!host) return false;
  const figure = host.closest("figure");
  figure.querySelector("[data-said]").textContent = said;
  figure.querySelector("title").textContent = `${figure.querySelector("strong").textContent}: ${said}`;
  host.hidden = false;
  const data = [figures.times, values];
  const plot = plots.get(name);
  if (plot?.root.parentElement === host) plot.setData(data);
  else {
    plot?.destroy();
    plots.set(name, new uPlot(options(name, host.clientWidth), data, host));
  }
  return true;
}

function drawAll() {
  const drawn = Object.entries(figures.series).map(([name, found]) => draw(name, found));
  // What was measured for the first time has no figure on the page yet.
  if (!drawn.every(Boolean)) document.body.dispatchEvent(new Event("doorbell"));
}

async function read() {
  const where = box();
  if (!where || reading || document.hidden) return;
  if (ofRun() && performance.now() - readAt < RUN_MS) return;
  reading = true;
  try {
    const answer = await fetch(where.dataset.plots, { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    figures = await answer.json();
    readAt = performance.now();
    drawAll();
  } catch { /* offline: what is drawn stays, and the page says that it is not live */ } finally { reading = false; }
}

// The last few minutes: what the socket may have lost meanwhile is among them.
function point({ detail: { times, series } }) {
  if (!figures || figures.step > 60 || ofRun()) return void read();
  const empty = figures.times.map(() => null);
  for (const [name, { values, said }] of Object.entries(series)) {
    const kept = figures.series[name] ??= { values: [...empty] };
    kept.said = said;
    times.forEach((at, index) => { kept.values[place(at)] = values[index]; });
  }
  const old = figures.times.findIndex(at => at >= figures.times.at(-1) - HOUR);
  figures.times.splice(0, old);
  for (const kept of Object.values(figures.series)) kept.values.splice(0, old);
  drawAll();
}

// Where a time is among those that are known; a new one is added to every series.
function place(at) {
  const found = figures.times.indexOf(at);
  if (found >= 0 || at < figures.times.at(-1)) return found;
  figures.times.push(at);
  for (const kept of Object.values(figures.series)) kept.values.push(null);
  return figures.times.length - 1;
}

function afresh() {
  for (const plot of plots.values()) plot.destroy();
  plots.clear();
  if (figures) drawAll();
}

function fit() {
  for (const plot of plots.values()) {
    const width = plot.root.parentElement?.clientWidth;
    if (width && width !== plot.width) plot.setSize({ width, height: HEIGHT });
  }
}

async function begin() {
  const where = box();
  uPlot = (await import(where.dataset.uplot)).default;
  await read();
  document.body.addEventListener("point", point);
  document.body.addEventListener("resync", read);
  new ResizeObserver(fit).observe(where);
  new MutationObserver(afresh).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", afresh);
}

// Not before somebody scrolls there: most looks at a machine are for its log.
const seen = new IntersectionObserver(entries => {
  if (!entries.some(entry => entry.isIntersecting)) return;
  seen.disconnect();
  begin();
});
if (box()?.dataset.uplot) seen.observe(box());
