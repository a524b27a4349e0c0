// One socket per page. The server only says that something changed; fragments then fetch themselves over HTTP
// (`hx-trigger="doorbell from:body"`). Without a socket, everything is fetched again every 15 s.
const root = document.documentElement;
const { subject } = document.body.dataset;
const pill = document.getElementById("live");

const STALE_MS = 25_000; // the server beats every 10 s
const AGAIN_MS = 2500;
const AGAIN_MAX_MS = 60_000;
const POLL_MS = 15_000;
const RETRY_MS = [500, 1000, 2000, 4000, 8000, 15_000];
const ENDED = { 4401: ["out", "Signed out"], 4403: ["out", "No access"] };

let socket = null;
let heard = Date.now();
let polled = 0;
let failures = 0;
let over = false;

// What a page asks unasked says that nobody waits for it (RFC 9218), and is asked again where it failed.
const UNASKED = ["doorbell", "resync"];
const unasked = ctx => UNASKED.includes(ctx.sourceEvent?.type);
document.addEventListener("htmx:config:request", ({ detail: { ctx } }) => {
  if (unasked(ctx)) ctx.request.headers.Priority = "u=6";
});
let again = null;
let wait = AGAIN_MS; // twice as long each time that it fails again
let failed = 0;
function askAgain(ctx) { // while it is not live, it is asked every now and then anyway
  if (again || !ctx || !unasked(ctx) || root.dataset.live !== "live") return;
  wait = Date.now() - failed > 4 * wait ? AGAIN_MS : Math.min(2 * wait, AGAIN_MAX_MS);
  failed = Date.now();
  again = setTimeout(() => { again = null; resync(); }, wait * (1 + Math.random()));
}
document.addEventListener("htmx:response:error", ({ detail: { ctx } }) => {
  if (ctx.response.status >= 500 || ctx.response.status === 429) askAgain(ctx);
});
document.addEventListener("htmx:error", ({ detail }) => askAgain(detail.ctx));

const tell = name => document.body.dispatchEvent(new Event(name));

function say(state, words) {
  if (root.dataset.live === state) return;
  root.dataset.live = state;
  for (const face of pill.children) {
    face.hidden = face.dataset.face !== state;
    if (!face.hidden) face.querySelector("[data-words]").textContent = words;
  }
}

function resync() {
  polled = Date.now();
  tell("resync");
  tell("log");
}

const messages = {
  hello: ({ version }) => { // resync: what changed while we connected
    failures = 0;
    say("live", "Live");
    resync();
    document.getElementById("outdated").hidden = version === root.dataset.version;
  },
  beat: () => {},
  resync,
  point: found => document.body.dispatchEvent(new CustomEvent("point", { detail: found })),
  doorbell: ({ kinds = ["changed"] }) => {
    if (kinds.includes("log")) tell("log");
    if (kinds.some(kind => kind !== "log")) tell("doorbell");
  },
};

function connect() {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/?subject=${encodeURIComponent(subject)}`);
  socket.onmessage = ({ data }) => {
    heard = Date.now();
    if (root.dataset.live === "stale") { say("live", "Live"); resync(); }
    const message = JSON.parse(data);
    messages[message.type]?.(message);
  };
  socket.onclose = ({ code }) => {
    if (over) return;
    if (code in ENDED) { over = true; return say(...ENDED[code]); }
    const wait = RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)];
    setTimeout(connect, wait * (0.75 + Math.random() / 2));
  };
}

function watch() {
  const now = Date.now();
  if (over || document.hidden || now - heard < STALE_MS) return;
  if (root.dataset.live !== "stale") {
    say("stale", "Not live");
    socket.close(); // half-open sockets never close by themselves
  }
  if (now - polled >= POLL_MS) resync();
}

if (subject) {
  connect();
  setInterval(watch, 1000);
  addEventListener("offline", () => { heard = 0; watch(); });
  addEventListener("pageshow", event => { if (event.persisted) location.reload(); });
  addEventListener("pagehide", () => { over = true; socket.close(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden && !over) resync(); });
}

// How many things need a person: in the tab's title and icon.
const icon = document.querySelector("link[rel=icon]");
const title = document.title.replace(/^\(\d+\) /, "");
let needs = null;
function count() {
  const badge = document.getElementById("needing");
  const fresh = document.querySelector("main [data-problems]") ?? badge;
  const problems = Number(fresh?.dataset.problems || 0);
  if (badge) {
    badge.textContent = problems;
    badge.parentElement.hidden = !problems;
  }
  if (problems !== needs) document.dispatchEvent(new CustomEvent("needs", { detail: problems }));
  needs = problems;
  document.title = problems ? `(${problems}) ${title}` : title;
  const wanted = problems ? icon.dataset.alert : icon.dataset.calm;
  if (icon.getAttribute("href") !== wanted) icon.setAttribute("href", wanted);
}
count();
document.addEventListener("htmx:after:swap", count);

// Times that are told relative to now. The server words them in the same way.
function ago(seconds) {
  if (seconds < 60) return `${Math.max(seconds, 0)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return seconds < 86_400 ? `${Math.floor(seconds / 3600)} h ago` : null;
}
function elapsed(seconds) {
  const parts = [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = Math.min(parts.findIndex(([, size]) => seconds >= size) >>> 0, 3);
  return parts.slice(first, first + 2)
    .map(([unit, size], at) => [Math.floor(at ? (seconds % parts[first][1]) / size : seconds / size), unit])
    .filter(([amount], at) => amount || !at)
    .map(([amount, unit]) => `${amount} ${unit}`).join(" ");
}
function tick() {
  if (document.hidden) return;
  for (const time of document.querySelectorAll("time[data-tick]")) {
    const seconds = Math.max(Math.floor((Date.now() - Date.parse(time.dateTime)) / 1000), 0);
    const words = time.dataset.tick === "ago" ? ago(seconds) : elapsed(seconds);
    if (words && time.textContent !== words) time.textContent = words;
  }
}
setInterval(tick, 1000);
requestAnimationFrame(() => requestAnimationFrame(() => { root.dataset.settled = ""; }));
