// Turns the titled blocks of a .snippets box into tabs. Without JavaScript they stand one below the other.

let boxes = 0;

const build = (box) => {
  if (box.dataset.ready) return;
  box.dataset.ready = "yes";
  const prefix = `snippet-${boxes++}`;
  const panels = [...box.querySelectorAll("[data-tab]")];
  const list = box.querySelector("[role=tablist]");
  const copy = box.querySelector("button[data-copy]");

  const tabs = panels.map((panel, index) => {
    const tab = Object.assign(document.createElement("button"), {
      type: "button", id: `${prefix}-tab-${index}`, textContent: panel.dataset.tab,
    });
    panel.id = `${prefix}-panel-${index}`;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", panel.id);
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", tab.id);
    list.append(tab);
    return tab;
  });

  const select = (index) => {
    tabs.forEach((tab, at) => {
      tab.setAttribute("aria-selected", String(at === index));
      tab.tabIndex = at === index ? 0 : -1;
      panels[at].hidden = at !== index;
    });
    copy.dataset.copy = `#${panels[index].id} code`;
  };

  list.addEventListener("click", (event) => {
    const index = tabs.indexOf(event.target.closest("[role=tab]"));
    if (index >= 0) select(index);
  });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const index = (tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length;
    select(index);
    tabs[index].focus();
    event.preventDefault();
  });
  box.querySelector("header").hidden = false;
  select(0);
};

document.querySelectorAll(".snippets").forEach(build);
document.addEventListener("htmx:load", (event) => event.detail.elt.querySelectorAll?.(".snippets").forEach(build));
