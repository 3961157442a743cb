// <input type="checkbox" data-tick-all="form-id"> ticks the boxes of that form's rows; [data-ticked] says how many are.

const boxes = (form) => [...form.elements].filter((box) => box.type === "checkbox");

const show = (form) => {
  const ticked = boxes(form).filter((box) => box.checked).length;
  const all = document.querySelector(`[data-tick-all="${form.id}"]`);
  const said = form.querySelector("[data-ticked]");
  if (all) {
    all.checked = ticked > 0 && ticked === boxes(form).length;
    all.indeterminate = ticked > 0 && !all.checked;
  }
  if (said) said.textContent = ticked ? `${ticked} ticked` : "";
};

document.addEventListener("change", ({ target }) => {
  const form = target.dataset?.tickAll ? document.getElementById(target.dataset.tickAll) : target.form;
  if (!form?.querySelector("[data-ticked]")) return;
  if (target.dataset.tickAll) for (const box of boxes(form)) box.checked = target.checked;
  show(form);
});
