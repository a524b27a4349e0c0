// The palette: a combobox over links that the server finds. Without this script its button leads to the same as a page.
const dialog = document.getElementById("palette");
const field = dialog.querySelector("input");
const found = document.getElementById("palette-found");

const options = () => [...found.querySelectorAll('[role="option"]:not([aria-disabled])')];
const chosen = () => found.querySelector('[aria-selected="true"]');

function choose(option) {
  chosen()?.setAttribute("aria-selected", "false");
  option?.setAttribute("aria-selected", "true");
  option?.scrollIntoView({ block: "nearest" });
  if (option) field.setAttribute("aria-activedescendant", option.id); else field.removeAttribute("aria-activedescendant");
}

function step(by) {
  const all = options();
  if (all.length) choose(all[(all.indexOf(chosen()) + by + all.length) % all.length]);
}

document.addEventListener("click", event => {
  if (!event.target.closest("[data-palette]") || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (dialog.open) return dialog.close();
  for (const other of document.querySelectorAll("dialog[open]")) other.close();
  dialog.showModal();
  field.select();
  field.dispatchEvent(new Event("palette"));
});
document.addEventListener("htmx:after:swap", ({ detail }) => { if (detail.ctx.target === found) choose(options()[0]); });
field.addEventListener("keydown", event => {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (by) { event.preventDefault(); step(by); }
});
dialog.addEventListener("submit", event => { event.preventDefault(); chosen()?.click(); });
found.addEventListener("pointermove", event => {
  const option = event.target.closest('[role="option"]:not([aria-disabled])');
  if (option && option !== chosen()) choose(option);
});
