// A screen on a wall: it looks every ten seconds, and at once when its socket rings. It asks for ever, says how old
// what it shows is, and never shows nothing: an answer that is none of ours leaves what is there, to age.
const root = document.documentElement;
const LOOK_MS = 10_000;
const GONE_MS = 60_000; // an address that shows nothing is asked less often
const STALE_MS = 30_000;
const ANSWER_MS = 8000;
const BREATH_MS = 2000; // between two looks
const REDIAL_MS = 15_000;
const SHIFT_MS = 180_000;
const RENEW_MS = 24 * 3_600_000; // pages that are open for months grow old, too

const born = Date.now();
const key = location.pathname.match(/^\/wall\/([^/]+)\/$/)?.[1];
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
let wall = document.querySelector("[data-wall]");
let heard = performance.timeOrigin + (performance.getEntriesByType("navigation")[0]?.responseStart ?? 0);
let asked = Date.now();
let looking = false;
let soon = null;
let held = null; // the view that somebody holds

const clock = (at, options) => at.toLocaleTimeString("en-GB", options);
const HOURS = { hour: "2-digit", minute: "2-digit" };

function face(name, words) {
  for (const one of wall.querySelectorAll("[data-face]")) {
    one.hidden = one.dataset.face !== name;
    if (!one.hidden) one.querySelector("[data-words]").textContent = words;
  }
}

function age(now) {
  const old = now - heard;
  const stale = old > STALE_MS;
  root.toggleAttribute("data-stale", stale);
  if (stale) face("stale", `Data from ${clock(new Date(wall.dataset.at), HOURS)}`);
  else face("fresh", `Data ${Math.max(Math.round(old / 1000), 0)} s old`);
}

function turn(now) {
  const views = wall.querySelectorAll("[data-view]");
  const at = held ?? Math.floor(now / (1000 * wall.dataset.seconds));
  views.forEach((view, number) => view.toggleAttribute("data-shown", number === at % views.length));
  wall.querySelector(".wall-held").hidden = held === null;
}

function time(now) {
  const at = new Date(now);
  for (const one of wall.querySelectorAll("[data-clock]")) {
    one.textContent = clock(at, one.dataset.clock === "short" ? HOURS : undefined);
    one.dateTime = at.toISOString();
  }
  const name = at.toLocaleTimeString("en-GB", { timeZoneName: "short" }).split(" ").pop();
  for (const one of wall.querySelectorAll("[data-zone]")) one.textContent = name;
  for (const one of wall.querySelectorAll("[data-day]")) one.textContent = at.toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long" });
}

function tick() {
  const now = Date.now();
  const gone = wall.dataset.wall === "gone";
  if (gone) root.removeAttribute("data-stale");
  else { age(now); turn(now); time(now); }
  root.dataset.shift = Math.floor(now / SHIFT_MS) % 4;
  if (now - asked >= (gone ? GONE_MS : LOOK_MS)) look();
}

function show(fresh) {
  wall.replaceWith(fresh);
  wall = fresh;
  root.dataset.theme = wall.dataset.theme ?? root.dataset.theme;
  root.dataset.zoom = wall.dataset.zoom ?? root.dataset.zoom;
  tick();
}

async function look() {
  if (looking) return;
  looking = true;
  asked = Date.now();
  try {
    const answer = await fetch(location.href, {
      headers: { "HX-Request": "true" }, cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS),
    });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-wall]");
    if (fresh) {
      heard = asked;
      // Only now that a server of the new version answers: a page that is reloaded into nothing could not heal.
      if (fresh.dataset.version !== wall.dataset.version || asked - born > RENEW_MS) location.reload();
      else show(document.adoptNode(fresh));
    }
  } catch { /* it is asked again, and the data ages until then */ }
  looking = false;
}

function ring() {
  soon ??= setTimeout(() => { soon = null; look(); }, Math.max(asked + BREATH_MS - Date.now(), 0));
}

// Where sockets cannot pass, looking every ten seconds is all there is.
function dial() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/wall/`, ["wall", key]);
  socket.onmessage = ({ data }) => { if (JSON.parse(data).type !== "beat") ring(); };
  socket.onclose = () => setTimeout(dial, REDIAL_MS * (0.75 + Math.random() / 2));
}

// Needs a secure address (https, or localhost); it is lost whenever the page is out of sight.
const stayAwake = () => { if (!document.hidden) navigator.wakeLock?.request("screen").catch(() => {}); };

document.cookie = `zone=${zone};path=/;max-age=31536000;samesite=lax`;
root.dataset.js = "";
tick();
setInterval(tick, 1000);
if (key) dial();
stayAwake();
document.addEventListener("visibilitychange", stayAwake);
addEventListener("online", ring);
document.addEventListener("keydown", event => {
  if (event.key !== " " || wall.dataset.wall === "gone") return;
  event.preventDefault();
  held = held === null ? Math.floor(Date.now() / (1000 * wall.dataset.seconds)) : null;
  tick();
});
