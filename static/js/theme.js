// Runs before the first paint (a plain script in <head>), so that a dark page never flashes white.
(() => {
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  const apply = () => {
    const chosen = root.dataset.theme;
    root.dataset.bsTheme = chosen === "auto" ? (dark.matches ? "dark" : "light") : chosen;
  };

  root.classList.add("js");
  dark.addEventListener("change", apply);
  apply();

  // The server sends this event with the answer that set the cookie.
  document.addEventListener("theme-changed", (event) => {
    root.dataset.theme = event.detail.theme;
    apply();
    for (const button of document.querySelectorAll("button[name=theme]")) {
      button.setAttribute("aria-pressed", String(button.value === event.detail.theme));
    }
  });
})();
