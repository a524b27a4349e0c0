// The theme is the browser's own, like in the administration; notifications need its permission.
const themes = document.querySelectorAll('[name="theme"]');
const root = document.documentElement;
const mark = () => { for (const each of themes) each.checked = each.value === root.dataset.theme; };
mark();
new MutationObserver(mark).observe(root, { attributeFilter: ["data-theme"] });
document.addEventListener("change", event => {
  if (event.target.name === "theme") root.dispatchEvent(new CustomEvent("theme", { detail: event.target.value }));
});

const notifies = document.querySelector('[name="notifies"]');
const hint = document.getElementById("notifies-state");
const SAID = {
  granted: "This browser allows them.",
  denied: "This browser forbids them: allow notifications in its settings for this site.",
  default: "This browser will ask once you tick it.",
};
const permitted = () => { hint.textContent = "Notification" in window ? SAID[Notification.permission] : "This browser knows none, or wants HTTPS for them."; };
permitted();
notifies.addEventListener("change", async () => {
  if (notifies.checked && "Notification" in window) await Notification.requestPermission();
  permitted();
});
