// The live charts of a machine: uPlot over the pictures that the server drew. Figures are stored once a minute, so
// they are fetched every half minute while the page is looked at, and when something changed.
const EVERY_MS = 30_000;
const AT_MOST_MS = 5_000;
const plots = new Map();
let uPlot = null;
let last = 0;
let fetching = false;

const box = () => document.querySelector("[data-plots]");
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
// Tokens are written as light-dark(…); a canvas wants the colour that it comes to.
function resolved(name) {
  const probe = document.createElement("span");
  probe.className = "sr";
  document.body.append(probe);
  probe.style.color = colour(name);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const bytes = value => {
  let at = 0;
  for (; value >= 1000 && at < 4; at++) value /= 1000;
  return `${value >= 100 || !at ? Math.round(value) : value.toFixed(1)} ${["B", "kB", "MB", "GB", "TB"][at]}`;
};
const amounts = { cpu: value => value.toFixed(2), tokens: value => value.toLocaleString("en"), memory: bytes, disk: bytes, network: bytes };

function options(name, width) {
  const [line, grid, text] = ["--info", "--line", "--muted"].map(resolved);
  const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 }, font: "11px system-ui" };
  const zone = document.documentElement.dataset.zone;
  return {
    width, height: 120, legend: { show: false }, cursor: { y: false },
    tzDate: at => { try { return uPlot.tzDate(new Date(at * 1000), zone); } catch { return new Date(at * 1000); } },
    scales: { y: { range: (_, low, high) => [0, high || 1] } },
    axes: [{ ...axis, space: 60 }, { ...axis, size: 62, values: (_, marks) => marks.map(mark => amounts[name](mark)) }],
    series: [{}, { stroke: line, width: 1.5, points: { show: false } }],
  };
}

function draw(name, { times, values, said }) {
  const host = document.querySelector(`[data-series="${name}"]`);
  if (!host || times.length < 2) return;
  host.hidden = false;
  host.closest("figure").querySelector("[data-said]").textContent = said;
  const kept = plots.get(name);
  if (kept?.host === host) {
    kept.data = [times, values];
    kept.plot.setData(kept.data);
    return;
  }
  kept?.plot.destroy();
  plots.set(name, { host, data: [times, values], plot: new uPlot(options(name, host.clientWidth), [times, values], host) });
}

async function read() {
  const where = box();
  if (!uPlot || !where || document.hidden || fetching || Date.now() - last < AT_MOST_MS) return;
  fetching = true;
  try {
    const answer = await fetch(where.dataset.plots, { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    for (const [name, found] of Object.entries(await answer.json())) draw(name, found);
    last = Date.now();
  } catch { /* offline: what is drawn stays, and the page says that it is not live */ } finally { fetching = false; }
}

function again() {
  for (const [name, { host, data, plot }] of plots) {
    plot.destroy();
    plots.set(name, { host, data, plot: new uPlot(options(name, host.clientWidth), data, host) });
  }
}

async function begin() {
  const where = box();
  uPlot = (await import(where.dataset.uplot)).default;
  await read();
  setInterval(read, EVERY_MS);
  for (const event of ["doorbell", "resync"]) document.body.addEventListener(event, read);
  document.addEventListener("visibilitychange", read);
  new MutationObserver(again).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  let width = where.clientWidth;
  new ResizeObserver(() => {
    if (where.clientWidth === width) return;
    width = where.clientWidth;
    for (const { host, plot } of plots.values()) plot.setSize({ width: host.clientWidth, height: 120 });
  }).observe(where);
}

// Not before somebody scrolls there: most looks at a machine are for its log.
const seen = new IntersectionObserver(entries => {
  if (!entries.some(entry => entry.isIntersecting)) return;
  seen.disconnect();
  begin();
});
if (box()?.dataset.uplot) seen.observe(box());
