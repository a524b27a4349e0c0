// The scrubber is moved faster than pages come: an answer to an earlier point must not push it back. And the address
// follows it, so that it can be shared; each point of a drag would be too much for the history.
let wanted = null;

document.addEventListener("input", ({ target }) => { if (target.id === "at") wanted = target.value; });
document.addEventListener("htmx:after:swap", () => {
  const slider = document.getElementById("at");
  if (slider && wanted !== null) {
    if (slider.value === wanted) {
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
