// What every page shares: menus that close, the dialog, where the focus goes after a swap.

// --- Menus (details.menu) ---
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && document.activeElement.closest("details.menu[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

// --- The dialog: a link with hx-target="#dialog" opens its page in it ---
const dialog = document.getElementById("dialog");
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target !== dialog || dialog.open) return;
  dialog.showModal();
});
dialog?.addEventListener("click", (event) => {
  if (event.target === dialog || event.target.closest("[data-close]")) {
    event.preventDefault();
    dialog.close();
  }
});
dialog?.addEventListener("close", () => dialog.replaceChildren());

// --- Late answers: another one replaced the target meanwhile ---
// Who asked is still there: the answer is for what took the target's place. Who asked is gone as well: it is dropped.
const late = ({ detail }) => {
  if (detail.target.isConnected) return;
  const successor = detail.requestConfig.elt.isConnected && document.getElementById(detail.target.id);
  if (successor) detail.target = successor;
  else detail.shouldSwap = false;
};
// The target itself listens: what happens to an element that is out of the page does not reach the document.
document.addEventListener("htmx:beforeRequest", ({ detail }) => detail.target.addEventListener("htmx:beforeSwap", late));

// --- Focus: the first wrong field, or what the answer marks with data-focus ---
document.addEventListener("htmx:afterSettle", (event) => {
  const target = event.detail.elt.isConnected ? event.detail.elt : document.getElementById(event.detail.elt.id);
  const wanted = target?.matches("[data-focus]") ? target : target?.querySelector("[aria-invalid=true], .note-bad[tabindex], [data-focus]");
  wanted?.focus();
  const spoken = (target?.closest("[data-announce]") ?? target?.querySelector("[data-announce]"))?.dataset.announce;
  if (spoken) document.dispatchEvent(new CustomEvent("announce", { detail: { message: spoken } }));
});
document.querySelector("main [aria-invalid=true], main .note-bad[tabindex]")?.focus();

// --- A page that shows a secret once must not ask for another one when it is reloaded ---
const canonical = document.querySelector("[data-canonical]")?.dataset.canonical;
if (canonical) history.replaceState(null, "", canonical);

// --- Filters: what is not set does not stand in the URL ---
document.addEventListener("htmx:configRequest", ({ detail }) => {
  if (!detail.elt.matches("form[role=search]")) return;
  for (const [name, value] of [...detail.formData.entries()]) {
    if (value === "") detail.formData.delete(name);
  }
});
