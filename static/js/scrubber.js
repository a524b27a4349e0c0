// The scrubber is moved faster than pages come: an answer to an earlier point must not push it back. And the address
// follows it, so that it can be shared; each point of a drag would be too much for the history.
let wanted = null;

const place = url => new URL(url, document.baseURI);

const NOW = "now"; // the right end: by its number, it is the next checkpoint once that is taken
const asked = ctx => place(ctx.request.action).searchParams.get("at");

document.addEventListener("input", ({ target }) => {
  if (target.id === "at") wanted = target.value === target.max ? NOW : target.value;
});
document.addEventListener("htmx:config:request", ({ detail: { ctx } }) => {
  if (ctx.sourceElement.id === "at" && wanted === NOW) ctx.request.body.set("at", NOW);
});

// What could not be shown is not where one is.
function refused({ detail: { ctx } }) {
  if (ctx?.sourceElement.id !== "at" || asked(ctx) !== wanted) return;
  wanted = null;
  ctx.sourceElement.value = ctx.sourceElement.defaultValue;
}
document.addEventListener("htmx:response:error", refused);
document.addEventListener("htmx:error", refused);

// News about another point than the one on show were asked for before it was moved: they are asked for again, about this.
document.addEventListener("htmx:before:swap", event => {
  const { sourceElement: asker, request } = event.detail.ctx;
  if (asker.id !== "machine" || place(asker.getAttribute("hx-get")).href === place(request.action).href) return;
  event.preventDefault();
  document.body.dispatchEvent(new Event("doorbell"));
});

document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
  const slider = document.getElementById("at");
  if (wanted !== null && slider && ctx.target.contains(slider)) {
    if (asked(ctx) === wanted) {
      wanted = null;
    } else {
      // What was asked for meanwhile may have been lost with the element that was swapped.
      slider.value = wanted === NOW ? slider.max : wanted;
      slider.dispatchEvent(new Event("input", { bubbles: true }));
    }
  }
  const address = document.getElementById("machine")?.dataset.address;
  if (address && address !== location.pathname + location.search) history.replaceState(null, "", address);
});
