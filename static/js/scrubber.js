// The scrubber is moved faster than pages come: an answer to an earlier point must not push it back. And the address
// follows it, so that it can be shared; each point of a drag would be too much for the history.
let wanted = null;

const place = url => new URL(url, document.baseURI);

document.addEventListener("input", ({ target }) => { if (target.id === "at") wanted = target.value; });

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
    if (place(ctx.request.action).searchParams.get("at") === wanted) {
      wanted = null;
    } else {
      // What was asked for meanwhile may have been lost with the element that was swapped.
      slider.value = wanted;
      slider.dispatchEvent(new Event("input", { bubbles: true }));
    }
  }
  const address = document.getElementById("machine")?.dataset.address;
  if (address && address !== location.pathname + location.search) history.replaceState(null, "", address);
});
