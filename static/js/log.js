// The log: a window of lines that grows at its end as they come, and elsewhere when it is asked to. Keeps the
// reader's place. Lines are found on the server, in the whole log.
const log = document.getElementById("log");
const BATCH = 200; // lines per animation frame
const LINES_MAX = 5000; // in the page; others are fetched when they are wanted
const AGAIN_MS = 2500; // after a read that failed

const card = document.getElementById("log-card");
const part = name => card.querySelector(`[data-log="${name}"]`);
const follow = document.getElementById("log-follow");
const words = follow.querySelector("[data-words]");
const field = document.getElementById("log-q");
const said = document.getElementById("log-said");
const older = part("older");
const newer = part("newer");
const copy = part("copy");

const waiting = [];
let first = Number(log.dataset.first);
let last = Number(log.dataset.last);
let following = newer.hidden;
let picked = null; // { from, to, at }: ids of lines; `at` is the end that the keys move
let top = 0;
let unseen = 0;
let fetching = false;
let again = false;
let painting = false;

const number = line => Number(line.id.slice(1));
const lineAt = id => document.getElementById(`L${id}`);
const chunks = () => log.getElementsByClassName("log-chunk");
const lines = () => [...log.getElementsByClassName("log-line")];
const atEnd = () => newer.hidden && log.scrollHeight - log.scrollTop - log.clientHeight < 24;
const toEnd = () => { log.scrollTop = log.scrollHeight; top = log.scrollTop; };

function show() {
  log.toggleAttribute("data-reading", !following);
  follow.hidden = following;
  const count = `${newer.hidden ? "" : "more than "}${unseen.toLocaleString("en")} new`;
  words.textContent = unseen ? `Follow (${count})` : "Follow";
}

async function ask(question) {
  const answer = await fetch(`${log.dataset.source}?${new URLSearchParams(question)}`, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
  return answer.json();
}

// Lines as elements

function element(name, className, text) {
  return Object.assign(document.createElement(name), { className, textContent: text });
}
function textOf(text, pieces) { // by its colours, if it has any
  const all = element("span", "", pieces.length ? "" : text);
  all.append(...pieces.map(([piece, look]) => look ? element("span", look, piece) : piece));
  return all;
}
function elementsOf({ id, at, clock, stream, text, pieces, bad, missing }) {
  const line = element("div", `log-line log-${stream}${bad ? " log-bad" : ""}`, "");
  line.id = `L${id}`;
  const time = element("time", "", clock);
  time.dateTime = at;
  line.append(time, textOf(text, pieces));
  if (picked && id >= picked.from && id <= picked.to) line.classList.add("log-picked");
  return missing ? [element("div", "log-gap", `${missing.toLocaleString("en")} line${missing === 1 ? "" : "s"} not kept`), line] : [line];
}
function chunkOf(some) {
  const chunk = element("div", "log-chunk", "");
  chunk.append(...some.flatMap(elementsOf));
  sizes.observe(chunk);
  return chunk;
}
function* inChunks(all) {
  for (let at = 0; at < all.length; at += BATCH) yield chunkOf(all.slice(at, at + BATCH));
}

// The window

function put(window) {
  waiting.length = 0;
  for (const chunk of [...chunks()]) chunk.remove();
  log.querySelector(".log-empty")?.remove();
  newer.before(...inChunks(window.lines));
  first = window.lines[0]?.id ?? 0;
  last = window.lines.at(-1)?.id ?? 0;
  older.hidden = !window.older;
  newer.hidden = !window.newer;
}

// Takes away whole chunks at one end; whatever went can be loaded again.
function trim(end) {
  const all = chunks();
  let count = 0;
  for (const chunk of all) count += chunk.childElementCount;
  while (count > LINES_MAX && all.length > 1) {
    const chunk = end === "older" ? all[0] : all[all.length - 1];
    count -= chunk.childElementCount;
    chunk.remove();
    if (end === "older") older.hidden = false; else newer.hidden = false;
  }
  const left = lines();
  first = left.length ? number(left[0]) : first;
  if (end === "newer" && left.length) last = number(left.at(-1));
}

function paint() {
  log.querySelector(".log-empty")?.remove();
  if (following || lines().length < LINES_MAX) {
    const chunk = chunkOf(waiting.splice(0, BATCH));
    newer.before(chunk);
    if (following) { trim("older"); toEnd(); } else { unseen += chunk.childElementCount; show(); }
  } else { // somebody reads: what is under their eyes stays, and what would not fit is fetched when they follow
    newer.hidden = false;
    last = number(lines().at(-1));
    waiting.length = 0;
    show();
  }
  if (waiting.length) requestAnimationFrame(paint); else painting = false;
}

function take(some) {
  last = some.at(-1).id;
  waiting.push(...some);
  if (following && waiting.length > LINES_MAX) { // nobody could read them as they pass
    waiting.splice(0, waiting.length - LINES_MAX);
    for (const chunk of [...chunks()]) chunk.remove();
    older.hidden = false;
  }
  if (!painting) { painting = true; requestAnimationFrame(paint); }
}

async function read() {
  if (!log.isConnected || !newer.hidden) return; // the page shows the past, or an earlier part
  if (fetching) { again = true; return; }
  fetching = true;
  try {
    do {
      again = false;
      const answer = await ask({ after: last });
      if (!newer.hidden) return;
      if (answer.lines.length && answer.lines.at(-1).id > last) take(answer.lines);
      again ||= answer.newer;
    } while (again);
  } catch { // offline, the next poll asks again
    if (document.documentElement.dataset.live === "live") setTimeout(read, AGAIN_MS * (1 + Math.random()));
  } finally { fetching = false; }
}

// What happens meanwhile above the reader's line moves the scroll bar, not the line.
async function loadOlder() {
  const answer = await ask({ before: first });
  const anchor = lineAt(first);
  following = false;
  log.setAttribute("data-moving", "");
  const was = anchor?.getBoundingClientRect().top;
  older.after(...inChunks(answer.lines));
  older.hidden = !answer.older;
  if (anchor) log.scrollTop += anchor.getBoundingClientRect().top - was;
  first = answer.lines[0]?.id ?? first;
  trim("newer");
  show();
  requestAnimationFrame(() => log.removeAttribute("data-moving"));
}
async function loadNewer() {
  const answer = await ask({ after: last });
  newer.before(...inChunks(answer.lines));
  newer.hidden = !answer.newer;
  last = answer.lines.at(-1)?.id ?? last;
  log.setAttribute("data-moving", "");
  const anchor = lines().find(line => line.getBoundingClientRect().bottom > log.getBoundingClientRect().top);
  const was = anchor?.getBoundingClientRect().top;
  trim("older");
  if (anchor?.isConnected) log.scrollTop += anchor.getBoundingClientRect().top - was;
  requestAnimationFrame(() => log.removeAttribute("data-moving"));
}
async function toNewest() {
  if (!newer.hidden) put(await ask({ latest: 1 }));
  following = true;
  unseen = 0;
  toEnd();
  show();
  log.focus({ preventScroll: true });
  read();
}

// Lines that are pointed at

function mark() {
  for (const line of lines()) line.classList.toggle("log-picked", Boolean(picked) && number(line) >= picked.from && number(line) <= picked.to);
  copy.hidden = !picked;
  copy.querySelector("[data-words]").textContent = picked && picked.to > picked.from ? "Copy link to lines" : "Copy link to line";
}
const hash = () => (picked.to > picked.from ? `#L${picked.from}-L${picked.to}` : `#L${picked.from}`);

function pick(from, to = from, at = to) {
  picked = { from: Math.min(from, to), to: Math.max(from, to), at };
  history.replaceState(history.state, "", hash());
  mark();
  const line = lineAt(at);
  document.getElementById("log-line").textContent = line ? `${line.firstChild.textContent} ${line.lastChild.textContent}`.slice(0, 300) : "";
}
function unpick() {
  picked = null;
  history.replaceState(history.state, "", location.pathname + location.search);
  mark();
}

// Chunks that were out of sight get their true height only when they are seen: look again.
function centre(line, looks = 3) {
  const box = log.getBoundingClientRect();
  log.scrollTop += line.getBoundingClientRect().top - box.top - log.clientHeight / 2;
  top = log.scrollTop;
  if (looks) requestAnimationFrame(() => centre(line, looks - 1));
}
async function go(from, to = from) {
  following = false;
  if (!lineAt(from)) put(await ask({ around: from }));
  show();
  const line = lineAt(from);
  if (!line) { said.textContent = "That line is not in this log."; return; }
  pick(from, to, from);
  log.scrollIntoView({ block: "nearest" }); // whoever follows a link to a line wants to see it
  centre(line);
}
function byHash() {
  const found = /^#L(\d{1,18})(?:-L(\d{1,18}))?$/.exec(location.hash);
  if (found && picked && location.hash === hash()) return;
  if (found) go(Number(found[1]), Number(found[2] ?? found[1])).catch(complain);
}

function step(way, extend) {
  const all = lines();
  const seen = log.getBoundingClientRect();
  let at = picked ? all.findIndex(line => number(line) === picked.at) : -1;
  if (at < 0) at = all.findLastIndex(line => line.getBoundingClientRect().bottom <= seen.bottom) - way;
  const line = all[at + way];
  if (!line) return;
  following = false;
  const id = number(line);
  const fixed = picked && (picked.at === picked.from ? picked.to : picked.from);
  pick(extend && picked ? fixed : id, id, id);
  const box = line.getBoundingClientRect();
  if (box.top < seen.top) log.scrollTop -= seen.top - box.top; else if (box.bottom > seen.bottom) log.scrollTop += box.bottom - seen.bottom;
  show();
}

// Finding

const complain = error => document.dispatchEvent(new CustomEvent("complaint", { detail: error.message }));

async function find(question, none, some) {
  const { id, count } = await ask(question);
  if (!id) { said.textContent = none; return; }
  said.textContent = some(count === null ? "Many lines" : `${count.toLocaleString("en")} line${count === 1 ? "" : "s"}`, count === 1);
  await go(id);
}
function findWords(back) {
  const q = field.value.trim();
  if (!q) { field.focus(); return; }
  const place = back ? { before: picked?.from ?? Number.MAX_SAFE_INTEGER } : { after: picked?.to ?? 0 };
  find({ q, ...place }, `No line of this log says “${q}”.`, (count, one) => `${count} say${one ? "s" : ""} “${q}”.`).catch(complain);
}
function findError() {
  const seen = log.getBoundingClientRect();
  const from = picked?.to ?? (lines().map(line => [line, line.getBoundingClientRect()]).find(([, box]) => box.bottom > seen.top)?.[0].id.slice(1) ?? 1) - 1;
  find({ errors: 1, after: from }, "No line of this log tells of trouble.", (count, one) => `${count} tell${one ? "s" : ""} of trouble.`).catch(complain);
}

// How it looks, as this browser was last told

const LOOKS = { wrap: "log-nowrap", times: "log-timeless" };
function look(name, on) {
  part(name).setAttribute("aria-pressed", on);
  card.classList.toggle(LOOKS[name], !on);
  if (following) toEnd();
}
function toggle(name) {
  const on = part(name).getAttribute("aria-pressed") !== "true";
  localStorage.setItem(`log-${name}`, on);
  look(name, on);
}

async function copyLink() {
  await navigator.clipboard.writeText(`${location.origin}${log.dataset.page}?line=${picked.from}${hash()}`);
  copy.querySelector("[data-words]").textContent = "Copied";
  setTimeout(mark, 2000);
}

const acts = {
  older: loadOlder, newer: loadNewer, error: findError, copy: copyLink,
  "newer-match": () => findWords(false), wrap: () => toggle("wrap"), times: () => toggle("times"),
};
card.addEventListener("click", event => {
  const name = event.target.closest("[data-log]")?.dataset.log;
  if (name) { event.preventDefault(); Promise.resolve(acts[name]()).catch(complain); return; }
  const line = event.target.closest(".log-line");
  if (!line || !getSelection().isCollapsed) return; // text is being selected
  const id = number(line);
  if (picked && picked.from === id && picked.to === id) return unpick();
  pick(event.shiftKey && picked ? picked.from : id, id, id);
});
document.getElementById("log-find").addEventListener("submit", event => { event.preventDefault(); findWords(true); });
field.addEventListener("keydown", event => {
  if (event.key === "Enter" && event.shiftKey) { event.preventDefault(); findWords(false); }
});
field.addEventListener("input", () => { said.textContent = ""; });
log.addEventListener("keydown", event => {
  if (event.target !== log || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "ArrowUp" || event.key === "ArrowDown") { event.preventDefault(); step(event.key === "ArrowUp" ? -1 : 1, event.shiftKey); }
  if (event.key === "Escape" && picked) { event.preventDefault(); unpick(); }
});

// Only the reader scrolls up; that the log grew, or was laid out anew, is no reason to stop following.
log.addEventListener("scroll", () => {
  const up = log.scrollTop < top - 2;
  top = log.scrollTop;
  if (atEnd() && !picked) { following = true; unseen = 0; } else if (up) following = false;
  show();
}, { passive: true });
const sizes = new ResizeObserver(() => { if (following) toEnd(); });
sizes.observe(log);
for (const chunk of chunks()) sizes.observe(chunk);
follow.addEventListener("click", () => { if (picked) unpick(); toNewest().catch(complain); });
addEventListener("hashchange", byHash);
document.body.addEventListener("log", read);
for (const name of Object.keys(LOOKS)) look(name, localStorage.getItem(`log-${name}`) !== "false");
if (following) toEnd();
const asked = Number(log.dataset.line);
if (location.hash.startsWith("#L")) byHash(); else if (asked) go(asked).catch(complain);
show();
