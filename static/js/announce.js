// Toasts, and what a screen reader is told. Anything may dispatch a "toast" event {message, level}.

const SHOWN_MS = 6000;
const toasts = document.getElementById("toasts");
const live = document.getElementById("live");
const template = document.getElementById("toast-template");

const dismissLater = (toast) => {
  if (toast.getAttribute("role") === "alert") return; // an error stays until it is read
  let timer = setTimeout(() => toast.remove(), SHOWN_MS);
  toast.addEventListener("mouseenter", () => clearTimeout(timer));
  toast.addEventListener("mouseleave", () => (timer = setTimeout(() => toast.remove(), SHOWN_MS / 2)));
};

const show = (message, level = "success") => {
  const toast = template.content.firstElementChild.cloneNode(true);
  const isError = level === "error";
  toast.classList.toggle("error", isError);
  toast.setAttribute("role", isError ? "alert" : "status");
  toasts.append(toast);
  toast.querySelector("p").textContent = message; // after it is in the page, or it is not read out
  dismissLater(toast);
};

const say = (message) => {
  live.textContent = "";
  requestAnimationFrame(() => (live.textContent = message));
};

document.addEventListener("toast", (event) => show(event.detail.message, event.detail.level));
document.addEventListener("announce", (event) => say(event.detail.message));
toasts.addEventListener("click", (event) => event.target.closest("[data-dismiss]")?.closest(".toast-note").remove());
toasts.querySelectorAll(".toast-note").forEach(dismissLater);

const REASONS = {
  401: "You are logged out. Reload the page to log in again.",
  403: "Your role in this workspace does not allow that.",
  404: "That is gone. Somebody may have removed it; reload the page.",
  429: "Too many tries. Wait a minute, then try again.",
};

document.addEventListener("htmx:responseError", ({ detail: { xhr } }) => {
  const plain = xhr.getResponseHeader("Content-Type")?.startsWith("text/plain");
  show((plain && xhr.responseText) || REASONS[xhr.status] || `The gateway answered with an error (${xhr.status}).`, "error");
});
document.addEventListener("htmx:sendError", () => show("The gateway cannot be reached. Is it running?", "error"));
document.addEventListener("htmx:timeout", () => show("The gateway took too long to answer.", "error"));
