// Keys press what is on the page: a link or button says its key as data-key ("c", or "g f" for two after each other).
// Where single keys are switched off, only those with Ctrl are heard. In fields and under dialogs, none is.
const root = document.documentElement;
const help = document.getElementById("keys");
const list = document.getElementById("keys-list");
const TOGETHER_MS = 1200; // between the two keys of a pair

let first = "";
let timer = 0;

const typing = target => target.closest?.("input, textarea, select, [contenteditable]") || document.querySelector("dialog[open]");
const find = key => [...document.querySelectorAll("[data-key]")].find(each => each.dataset.key === key);

function pressed(key) {
  const whole = first ? `${first} ${key}` : key;
  clearTimeout(timer);
  first = !first && key === "g" ? "g" : "";
  if (first) { timer = setTimeout(() => { first = ""; }, TOGETHER_MS); return true; }
  if (whole === "/") return focusFilter();
  const found = find(whole) ?? (whole === "n" ? find("g n") : null); // nothing here needs anybody: where such things are
  found?.click();
  return Boolean(found);
}

function focusFilter() {
  const field = document.querySelector("[data-filter]");
  field?.focus();
  field?.select?.();
  return Boolean(field);
}

document.addEventListener("keydown", event => {
  if (event.isComposing || event.defaultPrevented) return;
  if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k") {
    event.preventDefault();
    find("Ctrl K").click();
  } else if (!event.ctrlKey && !event.metaKey && !event.altKey && !("noKeys" in root.dataset) && !typing(event.target)) {
    if (event.key.length === 1 && pressed(event.key)) event.preventDefault();
  }
});

// What `?` shows is what is on the page now.
function words(element) {
  if (element.title) return element.title.replace(/ \([^()]*\)$/, "");
  if (element.ariaLabel) return element.ariaLabel;
  const copy = element.cloneNode(true);
  for (const extra of copy.querySelectorAll(".count, .sr, kbd, svg")) extra.remove();
  return copy.textContent.trim();
}
function line(key, what) {
  const row = document.createElement("div");
  const keys = document.createElement("dt");
  for (const each of key.split(" ")) keys.append(Object.assign(document.createElement("kbd"), { textContent: each }));
  row.append(keys, Object.assign(document.createElement("dd"), { textContent: what }));
  return row;
}
document.addEventListener("click", event => {
  if (!event.target.closest('[data-show="keys"]')) return;
  const known = new Map();
  if (document.querySelector("[data-filter]")) known.set("/", "Filter what is listed");
  for (const each of document.querySelectorAll("[data-key]")) if (!known.has(each.dataset.key)) known.set(each.dataset.key, words(each));
  const going = ([key]) => key.startsWith("g ");
  const rows = [...known].sort((a, b) => going(a) - going(b));
  list.replaceChildren(...rows.map(([key, what]) => line(key, going([key]) ? `Go to ${what}` : what)));
  help.showModal();
});
