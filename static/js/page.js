// Small conveniences over pages that work without them: dialogs, toasts, forms. All by delegation.
const toasts = document.getElementById("toasts");

// A link with hx-target="#dialog" or "#drawer" fetches the same page's card; without htmx it is simply followed.
document.addEventListener("htmx:after:swap", ({ detail }) => {
  const dialog = detail.ctx.target?.closest?.("dialog");
  if (dialog && !dialog.open && detail.ctx.target.matches("dialog, #drawer")) dialog.showModal();
});
document.addEventListener("close", event => { // what nobody sees need not be fetched again and again
  const drawer = document.getElementById("drawer");
  if (drawer?.parentElement === event.target) drawer.replaceChildren();
}, true);
document.addEventListener("click", event => {
  const dialog = event.target.closest("dialog[open]");
  const closing = event.target.closest("[data-close]");
  if (closing && dialog) { event.preventDefault(); dialog.close(); }
  if (event.target === dialog) dialog?.close();
  event.target.closest("[data-dismiss]")?.closest(".toast").remove();
  if (!event.target.closest(".menu")) for (const menu of document.querySelectorAll(".menu[open]")) menu.open = false;
});
document.addEventListener("keydown", event => {
  if (event.key !== "Escape") return;
  const menu = document.querySelector(".menu[open]");
  if (menu) { menu.open = false; menu.querySelector("summary").focus(); }
});

// Good news leaves by itself; bad news stays until it was read. A fourth toast takes the place of the oldest good one.
const SHOWN = 3;
const leave = toast => setTimeout(() => {
  if (toast.matches(":hover, :focus-within")) leave(toast); else toast.remove();
}, 6000);
for (const toast of toasts.querySelectorAll("[data-leaves]")) leave(toast);

function say({ tone = "ok", text, href }) {
  if ([...toasts.children].some(toast => toast.textContent.includes(text))) return;
  const toast = (document.getElementById(`toast-${tone}`) ?? document.getElementById("toast-ok")).content.firstElementChild.cloneNode(true);
  const words = toast.querySelector("[data-words]");
  if (href) words.append(Object.assign(document.createElement("a"), { href, textContent: text })); else words.textContent = text;
  if (toasts.children.length >= SHOWN) (toasts.querySelector("[data-leaves]") ?? toasts.firstElementChild).remove();
  toasts.append(toast);
  if ("leaves" in toast.dataset) leave(toast);
}
document.addEventListener("toast", ({ detail }) => say(detail)); // `HX-Trigger: {"toast": {…}}` of any answer
const complain = text => say({ tone: "error", text });
document.addEventListener("complaint", ({ detail }) => complain(detail));
document.addEventListener("htmx:response:error", ({ detail }) => {
  const { status, headers } = detail.ctx.response;
  const unasked = "Priority" in detail.ctx.request.headers; // it is asked again, and says so once
  const request = !unasked && headers?.get?.("X-Request-Id");
  if (headers?.get?.("Content-Type")?.startsWith("text/plain")) return complain(detail.ctx.text); // a refusal, in words
  if (status === 401) return complain("Your session ended. Reload the page to sign in; what it shows is kept until then.");
  complain(`The server answered ${status}; what you see may be old.${request ? ` Request ${request}.` : ""}`);
});

// A second click on the way is no second request.
document.addEventListener("submit", event => {
  const form = event.target;
  if (form.method === "dialog") return;
  if (form.hasAttribute("aria-busy")) return event.preventDefault();
  if (form.method === "post") form.setAttribute("aria-busy", "true");
});
addEventListener("pageshow", () => { for (const form of document.forms) form.removeAttribute("aria-busy"); });
document.addEventListener("change", event => { event.target.closest("form[data-autosubmit]")?.requestSubmit(); });
document.addEventListener("keydown", event => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.target.closest("form[data-fast]")?.requestSubmit();
});

// "Add a file" without losing what was chosen.
document.addEventListener("click", event => {
  const adding = event.target.closest("[data-add-file]");
  if (!adding) return;
  event.preventDefault();
  const list = document.getElementById("files");
  const file = document.getElementById("file-blank").content.firstElementChild.cloneNode(true);
  list.append(file);
  file.querySelector("input").focus();
});
document.addEventListener("click", event => { event.target.closest("[data-remove-file]")?.closest(".file").remove(); });

// A suggestion that is taken is as if it had been typed.
document.addEventListener("click", event => {
  const filling = event.target.closest("[data-fill]");
  if (!filling) return;
  const field = document.getElementById(filling.dataset.fill);
  field.value = filling.dataset.value;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  field.focus();
});

document.addEventListener("click", async event => {
  const copying = event.target.closest("[data-copy]");
  if (!copying) return;
  await navigator.clipboard.writeText(document.getElementById(copying.dataset.copy).textContent);
  const words = copying.querySelector("[data-words]");
  words.textContent = "Copied";
  setTimeout(() => { words.textContent = "Copy"; }, 2000);
});

// Where tabs do not fit beside each other, the one that one looks at is in sight.
function showTab() {
  for (const tab of document.querySelectorAll(".tabs [aria-current]")) {
    const row = tab.parentElement, inner = tab.getBoundingClientRect(), outer = row.getBoundingClientRect();
    if (inner.right > outer.right) row.scrollLeft += inner.right - outer.right + (outer.width - inner.width) / 2;
  }
}
showTab();
addEventListener("resize", showTab);
