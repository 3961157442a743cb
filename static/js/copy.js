// <button data-copy="#id"> copies that element's text and says so.

const DONE_MS = 1600;

const write = async (text) => {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  // Plain http on another host than localhost has no clipboard API.
  const area = Object.assign(document.createElement("textarea"), { value: text, readOnly: true });
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (!copied) throw new Error("copying is not allowed");
};

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const source = document.querySelector(button.dataset.copy);
  const what = button.dataset.copyName || "Text";
  try {
    await write(source.textContent.trim());
  } catch {
    window.getSelection().selectAllChildren(source);
    document.dispatchEvent(new CustomEvent("toast", { detail: { message: "Press Ctrl+C (⌘C) to copy the selected text.", level: "error" } }));
    return;
  }
  const label = button.querySelector("[data-label]");
  const before = label.textContent;
  if (before === "Copied") return;
  label.textContent = "Copied";
  document.dispatchEvent(new CustomEvent("announce", { detail: { message: `${what} copied.` } }));
  setTimeout(() => (label.textContent = before), DONE_MS);
});
