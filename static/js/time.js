// Shows each <time> in the reader's own zone and words; its title keeps UTC.

const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const short = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
const close = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const STEPS = [["second", 60], ["minute", 60], ["hour", 24], ["day", 30]];

const ago = (when) => {
  let amount = (when - Date.now()) / 1000;
  if (Math.abs(amount) < 5) return "just now";
  for (const [unit, size] of STEPS) {
    if (Math.abs(amount) < size) return relative.format(Math.round(amount), unit);
    amount /= size;
  }
  return full.format(when);
};

const render = (element) => {
  const when = new Date(element.dateTime);
  const form = element.dataset.form;
  element.textContent = form === "ago" ? ago(when) : ({ short, close }[form] ?? full).format(when);
};

const renderAll = (root) => {
  if (root.matches?.("time[datetime]")) render(root);
  root.querySelectorAll?.("time[datetime]").forEach(render);
};

renderAll(document);
document.addEventListener("htmx:load", (event) => renderAll(event.detail.elt));
setInterval(() => document.querySelectorAll("time[data-form=ago]").forEach(render), 30_000);
