// Before first paint: the chosen theme, under the name and key that Django's admin uses, so that both agree.
(() => {
  const root = document.documentElement;
  const order = ["auto", "light", "dark"];
  const read = () => {
    try { return localStorage.getItem("theme") || "auto"; } catch { return "auto"; }
  };
  const show = theme => {
    root.dataset.theme = theme;
    for (const button of document.querySelectorAll("[data-theme-switch]")) {
      button.setAttribute("aria-label", `Theme: ${theme}. Change it`);
      button.title = `Theme: ${theme}`;
      for (const icon of button.children) icon.toggleAttribute("hidden", icon.dataset.themeIcon !== theme);
    }
  };
  const choose = theme => {
    try { localStorage.setItem("theme", theme); } catch { /* private mode: for this page only */ }
    show(theme);
  };
  root.dataset.js = "";
  show(read());
  // The server words times in the zone of the browser, unless another was chosen.
  const zone = `zone=${Intl.DateTimeFormat().resolvedOptions().timeZone}`;
  if (!document.cookie.split("; ").includes(zone)) document.cookie = `${zone}; path=/; max-age=31536000; samesite=lax`;
  document.addEventListener("DOMContentLoaded", () => show(read()));
  addEventListener("storage", event => { if (event.key === "theme") show(read()); });
  document.addEventListener("click", event => {
    if (!event.target.closest("[data-theme-switch]")) return;
    choose(order[(order.indexOf(root.dataset.theme) + 1) % order.length]);
  });
  root.addEventListener("theme", event => choose(event.detail));
})();
