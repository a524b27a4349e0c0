// Moving through the tree by keys: rows with ↑ and ↓, along a lane with ← (older) and → (newer), `b` to branch, `p` to pin.
// Links do the rest.
const links = () => [...document.querySelectorAll("[data-tree] a.tree-link, [data-tree] .tree-fold a")];
const laneOf = link => link.closest("[data-lane]").dataset.lane;

const steps = {
  ArrowDown: (all, at) => all[at + 1],
  ArrowUp: (all, at) => all[at - 1],
  ArrowLeft: (all, at) => all.slice(at + 1).find(link => laneOf(link) === laneOf(all[at])),
  ArrowRight: (all, at) => all.slice(0, at).findLast(link => laneOf(link) === laneOf(all[at])),
};

// The doorbell, too, tells of what was marked; without one the page asks at once.
async function pin({ dataset }) {
  const marks = new FormData(document.getElementById("marking"));
  marks.delete("once"); // the form stays: pinned, unpinned and pinned again is no repeat
  marks.append("pinned", dataset.pinned === "1" ? "0" : "1");
  try {
    const answer = await fetch(dataset.mark, { method: "POST", body: marks, headers: { "HX-Request": "true" } });
    if (!answer.ok) throw new Error(answer.status === 409 ? await answer.text() : `The server answered ${answer.status}; nothing was pinned.`);
    document.body.dispatchEvent(new Event("resync"));
  } catch (problem) {
    document.dispatchEvent(new CustomEvent("complaint", { detail: problem.message }));
  }
}

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const all = links(), at = all.indexOf(document.activeElement);
  if (at < 0) return;
  if (event.key === "b" && all[at].dataset.branch) { location.href = all[at].dataset.branch; return; }
  if (event.key === "p" && all[at].dataset.mark) { pin(all[at]); return; }
  const to = steps[event.key]?.(all, at);
  if (!to) return;
  event.preventDefault();
  to.focus();
  to.scrollIntoView({ block: "nearest" });
});
