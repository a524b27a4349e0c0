// The console: a terminal here, our socket to the VM's serial line there. Binary messages are the terminal's bytes.
const box = document.getElementById("console");
const screen = document.getElementById("console-screen");
const notice = document.getElementById("console-notice");
const faces = document.getElementById("console-state").children;
const again = document.getElementById("console-again");
const take = document.getElementById("console-take");
const leave = document.getElementById("console-leave");
const aloud = document.getElementById("console-aloud");

const SHOWN_BYTES = 32 * 1024; // tell the server after so many; it holds back when too many are unread
const TONES = { ended: "t-neutral", off: "t-warn", busy: "t-warn", taken: "t-warn", lost: "t-bad", refused: "t-bad" };
const REFUSED = {
  4401: "You are signed out. Reload the page to sign in.",
  4403: "You may look at this machine, but not operate it.",
  4404: "There is no such machine that you may see.",
};

// xterm.js writes <style> elements and style attributes, which the page's policy forbids; the same said by script it
// allows. So it is given other elements, whose text becomes a style sheet, and its attributes become properties.
customElements.define("terminal-style", class extends HTMLElement {
  #sheet = new CSSStyleSheet();
  set textContent(rules) { this.#sheet.replaceSync(rules); }
  connectedCallback() { document.adoptedStyleSheets.push(this.#sheet); }
  disconnectedCallback() { document.adoptedStyleSheets = document.adoptedStyleSheets.filter(sheet => sheet !== this.#sheet); }
});
const { setAttribute } = Element.prototype;
HTMLSpanElement.prototype.setAttribute = function (name, value) {
  if (name === "style") this.style.cssText = value; else setAttribute.call(this, name, value);
};
function open(terminal) {
  const make = document.createElement.bind(document);
  document.createElement = (name, options) => make(name === "style" ? "terminal-style" : name, options);
  try { terminal.open(screen); } finally { delete document.createElement; }
}

// The design's colours in the theme of now, as xterm.js wants them: resolved.
function theme() {
  const probe = document.createElement("span");
  box.append(probe);
  const colour = name => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };
  const [red, green, yellow, blue, magenta, cyan] = ["bad", "ok", "warn", "info", "accent", "snap"].map(tone => colour(`${tone}-fg`));
  const [brightRed, brightGreen, brightYellow, brightBlue, brightMagenta, brightCyan] = ["bad", "ok", "warn", "info", "accent", "snap"].map(colour);
  const colours = {
    background: colour("surface"), foreground: colour("text"), cursor: colour("text"), cursorAccent: colour("surface"),
    selectionBackground: colour("info-bg"), scrollbarSliderBackground: colour("line"),
    scrollbarSliderHoverBackground: colour("control-line"), scrollbarSliderActiveBackground: colour("control-line"),
    black: colour("sunken"), white: colour("neutral-fg"), brightBlack: colour("muted"), brightWhite: colour("text"),
    red, green, yellow, blue, magenta, cyan,
    brightRed, brightGreen, brightYellow, brightBlue, brightMagenta, brightCyan,
  };
  probe.remove();
  return colours;
}

const [{ Terminal }, { FitAddon }] = await Promise.all([import(box.dataset.xterm), import(box.dataset.fit)]);
const { fontFamily, fontSize } = getComputedStyle(screen);
const terminal = new Terminal({
  fontFamily, fontSize: parseFloat(fontSize), theme: theme(), minimumContrastRatio: 4.5, scrollback: 5000,
  disableStdin: true, cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
});
const fit = new FitAddon();
terminal.loadAddon(fit);
open(terminal);

let socket = null;
let shown = 0;
const bytes = new TextEncoder();
const send = message => { if (socket?.readyState === WebSocket.OPEN) socket.send(message); };
const tell = message => send(JSON.stringify(message));
const tellSize = () => tell({ type: "size", columns: terminal.cols, rows: terminal.rows });

function say(state) {
  for (const face of faces) face.hidden = face.dataset.face !== state;
  box.dataset.state = state;
  terminal.options.disableStdin = state !== "open";
  leave.hidden = state === "closed";
  notice.hidden = state !== "closed";
}

function explain(why, sentence, final) {
  notice.classList.remove(...Object.values(TONES));
  notice.classList.add(TONES[why]);
  notice.querySelector("[data-words]").textContent = sentence;
  again.hidden = final;
  take.hidden = why !== "busy" && why !== "taken";
  const typing = screen.contains(document.activeElement);
  say("closed");
  if (typing) (final ? document.getElementById("main") : again).focus();
}

function connect(query = "") {
  let ending = { why: "lost", sentence: "The connection to autovibe was lost." };
  const mine = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${box.dataset.socket}${query}`);
  mine.binaryType = "arraybuffer";
  socket = mine;
  shown = 0;
  say("connecting");
  mine.onmessage = ({ data }) => {
    if (data instanceof ArrayBuffer) return print(new Uint8Array(data), mine);
    const message = JSON.parse(data);
    if (message.type === "ended") ending = message;
    if (message.type === "open") begin();
  };
  mine.onclose = ({ code }) => {
    if (socket !== mine) return;
    explain(code in REFUSED ? "refused" : ending.why, REFUSED[code] ?? ending.sentence, code in REFUSED);
  };
}

function begin() {
  const here = !document.activeElement || box.contains(document.activeElement) || document.activeElement === document.body;
  terminal.reset();
  say("open");
  fit.fit();
  tellSize();
  if (here) terminal.focus();
}

function print(data, from) {
  terminal.write(data, () => {
    if (from !== socket) return;
    shown += data.length;
    if (shown >= SHOWN_BYTES) { tell({ type: "shown", bytes: shown }); shown = 0; }
  });
}

terminal.onData(typed => send(bytes.encode(typed)));
terminal.onBinary(typed => send(Uint8Array.from(typed, letter => letter.charCodeAt(0))));
terminal.onResize(tellSize);
terminal.attachCustomKeyEventHandler(event => {
  const { type, ctrlKey, shiftKey, code } = event;
  if (box.dataset.state !== "open") return false; // nobody listens: Tab moves on
  if (type !== "keydown" || !ctrlKey) return true;
  if (shiftKey && code === "KeyL") { event.preventDefault(); leave.focus(); return false; }
  return !(code === "KeyC" && terminal.hasSelection()); // then it copies
});
leave.addEventListener("click", () => {
  const left = socket;
  socket = null;
  left.close();
  explain("ended", "You left the console.", false);
  again.focus();
});
again.addEventListener("click", () => connect());
take.addEventListener("click", () => connect("?take=1"));
aloud.addEventListener("change", () => { terminal.options.screenReaderMode = aloud.checked; });
new ResizeObserver(() => fit.fit()).observe(screen);
const recolour = () => { terminal.options.theme = theme(); };
new MutationObserver(recolour).observe(document.documentElement, { attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
connect();
