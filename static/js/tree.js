// Moving through the tree by keys: rows with ↑ and ↓, along a lane with ← (older) and → (newer). Links do the rest.
const links = () => [...document.querySelectorAll("[data-tree] a.tree-link, [data-tree] .tree-fold a")];
const laneOf = link => link.closest("[data-lane]").dataset.lane;

const steps = {
  ArrowDown: (all, at) => all[at + 1],
  ArrowUp: (all, at) => all[at - 1],
  ArrowLeft: (all, at) => all.slice(at + 1).find(link => laneOf(link) === laneOf(all[at])),
  ArrowRight: (all, at) => all.slice(0, at).findLast(link => laneOf(link) === laneOf(all[at])),
};

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const all = links(), at = all.indexOf(document.activeElement);
  if (at < 0) return;
  if (event.key === "b" && all[at].dataset.branch) { location.href = all[at].dataset.branch; return; }
  const to = steps[event.key]?.(all, at);
  if (!to) return;
  event.preventDefault();
  to.focus();
  to.scrollIntoView({ block: "nearest" });
});
