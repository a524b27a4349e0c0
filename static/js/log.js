// The log: fetches what is new when the doorbell rings, appends it as text, keeps the reader's place.
const log = document.getElementById("log");
const BATCH = 200; // lines per animation frame
const LINES_MAX = 5000; // in the page; older ones stay in the download

const follow = document.getElementById("log-follow");
const words = follow.querySelector("[data-words]");
const waiting = [];
let last = Number(log.dataset.last);
let following = true;
let top = 0;
let unseen = 0;
let fetching = false;
let again = false;
let painting = false;

const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 24;
const toEnd = () => { log.scrollTop = log.scrollHeight; top = log.scrollTop; };

function show() {
  follow.hidden = following;
  words.textContent = unseen ? `Follow (${unseen.toLocaleString("en")} new)` : "Follow";
}

function lineOf({ at, stream, text }) {
  const line = document.createElement("div");
  line.className = `log-line log-${stream}`;
  const time = document.createElement("time");
  time.dateTime = at;
  time.textContent = at.slice(11, 19);
  const span = document.createElement("span");
  span.textContent = text;
  line.append(time, span);
  return line;
}

function paint() {
  const chunk = document.createElement("div");
  chunk.className = "log-chunk";
  chunk.append(...waiting.splice(0, BATCH).map(lineOf));
  log.querySelector(".log-empty")?.remove();
  log.append(chunk);
  sizes.observe(chunk);
  trim();
  if (following) toEnd(); else { unseen += chunk.childElementCount; show(); }
  if (waiting.length) requestAnimationFrame(paint); else painting = false;
}

function trim() {
  const chunks = log.getElementsByClassName("log-chunk");
  let lines = 0;
  for (const chunk of chunks) lines += chunk.childElementCount;
  while (following && lines > LINES_MAX && chunks.length > 1) {
    lines -= chunks[0].childElementCount;
    chunks[0].remove();
  }
}

async function read() {
  if (!log.isConnected) return; // the page shows the past
  if (fetching) { again = true; return; }
  fetching = true;
  try {
    do {
      again = false;
      const answer = await fetch(`${log.dataset.source}?after=${last}`, { headers: { Accept: "application/json" } });
      if (!answer.ok) return;
      const { lines, more } = await answer.json();
      if (lines.length) {
        last = lines.at(-1).id;
        waiting.push(...lines);
        if (waiting.length > LINES_MAX) waiting.splice(0, waiting.length - LINES_MAX);
        if (!painting) { painting = true; requestAnimationFrame(paint); }
      }
      again ||= more;
    } while (again);
  } catch { /* offline: the next ring or poll asks again */ } finally { fetching = false; }
}

// Only the reader scrolls up; that the log grew, or was laid out anew, is no reason to stop following.
log.addEventListener("scroll", () => {
  const up = log.scrollTop < top - 2;
  top = log.scrollTop;
  if (atEnd()) { following = true; unseen = 0; } else if (up) following = false;
  show();
}, { passive: true });
const sizes = new ResizeObserver(() => { if (following) toEnd(); });
sizes.observe(log);
for (const chunk of log.children) sizes.observe(chunk);
follow.addEventListener("click", () => { following = true; unseen = 0; toEnd(); show(); log.focus({ preventScroll: true }); });
document.body.addEventListener("log", read);
toEnd();
