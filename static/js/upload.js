// The upload form as a drop zone: files, folders and ZIPs go through a queue, a few at a time, each with its progress.

const AT_ONCE = 3;
const REFRESH_MS = 2500;
// What systems and editors leave in folders.
const LITTER = /^(\.DS_Store|Thumbs\.db|desktop\.ini|~\$.*|\._.*)$/i;
const WORDS = {
  403: "Your role in this workspace does not allow that.",
  404: "The library is gone.",
  413: "Too large.",
  429: "Too many uploads at once. Try again in a minute.",
};

const form = document.getElementById("upload");
const queue = document.getElementById("queue");
const list = document.getElementById("queue-list");
const summary = document.getElementById("queue-summary");
const meter = document.getElementById("queue-meter");
const template = document.getElementById("queue-item");
const again = queue?.querySelector("[data-again]");
const stop = queue?.querySelector("[data-stop]");
const clear = queue?.querySelector("[data-clear]");
const mostBytes = Number(form?.dataset.mostBytes);

// State of an item: waiting, going, done or failed.
const items = [];
let going = 0;
let stopped = false;
let fresh = false; // something arrived that the list below does not show yet

const size = (bytes) => `${(bytes / 1024 ** 2).toLocaleString(undefined, { maximumFractionDigits: 1 })} MB`;
const files = (count) => `${count.toLocaleString()} file${count === 1 ? "" : "s"}`;
const fits = ({ file }) => file.size > 0 && file.size <= mostBytes;
const retriable = (item) => item.state === "failed" && fits(item);
const count = (state) => items.filter((item) => item.state === state).length;

// --- What is shown: drawn once a frame, however many things happen in it ---

const changed = new Set();
let drawing = false;

const draw = () => {
  drawing = false;
  for (const item of changed) {
    item.bar.hidden = item.state !== "going";
    item.bar.value = item.share;
    item.row.dataset.state = item.state;
    item.said.textContent = item.words;
    // What went wrong is not looked for among hundreds that did not.
    if (item.state === "failed" && !item.raised) list.prepend(item.row);
    item.raised = item.state === "failed";
  }
  changed.clear();
  const [done, failed] = [count("done"), count("failed")];
  const over = done + failed === items.length;
  const refused = failed ? `; ${files(failed)} could not be` : "";
  summary.textContent = `${done.toLocaleString()} of ${files(items.length)} uploaded${refused}`;
  meter.value = items.length ? (done + failed + items.reduce((sum, item) => sum + (item.state === "going" ? item.share : 0), 0)) / items.length : 0;
  again.hidden = !over || !items.some(retriable);
  stop.hidden = over;
  clear.hidden = !over;
};

const redraw = (item) => {
  if (item) changed.add(item);
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(draw);
};

const set = (item, state, words, share = 0) => {
  Object.assign(item, { state, words, share });
  redraw(item);
};

const refresh = () => {
  if (!fresh) return;
  fresh = false;
  window.htmx.trigger("#results", "refresh");
};
setInterval(refresh, REFRESH_MS);

// --- The queue ---

const answered = (item, xhr) => {
  let body = {};
  try {
    body = JSON.parse(xhr.responseText);
  } catch {
    // an error page: its status says it
  }
  if (xhr.status >= 200 && xhr.status < 300 && "documents" in body) {
    fresh = true;
    const refused = body.refused.map(({ name, error }) => `${name}: ${error}`).join(" ");
    const many = body.documents !== 1 || body.refused.length;
    const words = many ? `${files(body.documents)} taken${body.refused.length ? `, ${body.refused.length} refused. ${refused}` : ""}` : "";
    set(item, body.documents || !body.refused.length ? "done" : "failed", words || (body.created ? "Uploaded" : "Was here already"), 1);
  } else if (xhr.responseURL.includes("/login/")) {
    set(item, "failed", "You are logged out. Reload the page to log in again.");
  } else {
    const told = typeof body.error === "string" ? body.error : body.error?.message;
    set(item, "failed", WORDS[xhr.status] === "Too large." ? `Too large: a file may have ${size(mostBytes)}.` : told || WORDS[xhr.status] || `The gateway answered with an error (${xhr.status}).`);
  }
};

const send = (item) => {
  going += 1;
  set(item, "going", "Uploading");
  const body = new FormData();
  if (item.path !== item.file.name) body.append("source", item.path);
  body.append("file", item.file, item.file.name);
  const xhr = new XMLHttpRequest();
  item.xhr = xhr;
  xhr.open("POST", form.action);
  xhr.setRequestHeader("Accept", "application/json");
  xhr.setRequestHeader("X-CSRFToken", form.elements.csrfmiddlewaretoken.value);
  xhr.upload.onprogress = ({ loaded, total }) => {
    const share = total ? loaded / total : 0;
    set(item, "going", share < 1 ? "Uploading" : "Checking", share);
  };
  xhr.onload = () => answered(item, xhr);
  xhr.onerror = () => set(item, "failed", "The connection broke off, or the file cannot be read.");
  xhr.onabort = () => set(item, "failed", "Stopped");
  xhr.onloadend = () => {
    going -= 1;
    item.xhr = null;
    next();
  };
  xhr.send(body);
};

const next = () => {
  for (const item of items) {
    if (going >= AT_ONCE || stopped) break;
    if (item.state === "waiting") send(item);
  }
  if (going || count("waiting")) return;
  refresh();
  const [done, failed] = [count("done"), count("failed")];
  const said = `${files(done)} uploaded${failed ? `, ${files(failed)} could not be` : ""}.`;
  document.dispatchEvent(new CustomEvent("toast", { detail: { message: said, level: failed ? "error" : "success" } }));
};

const add = (found) => {
  if (!found.length) return;
  if (items.length && !going && !count("waiting") && !count("failed")) empty();
  stopped = false;
  const rows = document.createDocumentFragment();
  for (const { file, path } of found) {
    const row = template.content.firstElementChild.cloneNode(true);
    row.querySelector("[data-name]").textContent = path;
    const item = { file, path, row, said: row.querySelector("[data-state]"), bar: row.querySelector("progress"), xhr: null };
    items.push(item);
    rows.append(row);
    if (!file.size) set(item, "failed", "The file is empty.");
    else if (file.size > mostBytes) set(item, "failed", `Too large: ${size(file.size)}; a file may have ${size(mostBytes)}.`);
    else set(item, "waiting", "Waits");
  }
  list.append(rows);
  queue.hidden = false;
  next();
};

const empty = () => {
  items.length = 0;
  changed.clear();
  list.replaceChildren();
};

// --- Where files come from ---

const picked = (chosen) =>
  [...chosen]
    .filter((file) => !LITTER.test(file.name))
    .map((file) => ({ file, path: file.webkitRelativePath || file.name }));

// A directory's reader gives a hundred entries at a time, and none when there are no more.
const entriesOf = async (directory) => {
  const reader = directory.createReader();
  const found = [];
  for (;;) {
    const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!part.length) return found;
    found.push(...part);
  }
};

const walk = async (entry) => {
  if (LITTER.test(entry.name)) return [];
  if (entry.isDirectory) {
    const found = [];
    for (const each of await entriesOf(entry)) found.push(...(await walk(each)));
    return found;
  }
  const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
  return [{ file, path: entry.fullPath.replace(/^\//, "") }];
};

const dropped = async (transfer) => {
  // The items are gone after the event, so their entries are taken first.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return picked(transfer.files);
  const found = [];
  for (const entry of entries) {
    try {
      found.push(...(await walk(entry)));
    } catch {
      const message = `${entry.name} cannot be read.`;
      document.dispatchEvent(new CustomEvent("toast", { detail: { message, level: "error" } }));
    }
  }
  return found;
};

const listen = () => {
  const input = form.elements.file;
  const folder = Object.assign(document.createElement("input"), { type: "file", webkitdirectory: true, multiple: true });
  for (const each of [input, folder]) {
    each.addEventListener("change", () => {
      add(picked(each.files));
      each.value = "";
    });
  }
  form.querySelector("[data-folder]").addEventListener("click", () => folder.click());
  form.addEventListener("submit", (event) => event.preventDefault());

  let depth = 0; // dragenter and dragleave also tell of the form's parts
  const over = (by) => form.classList.toggle("over", (depth = Math.max(0, depth + by)) > 0);
  form.addEventListener("dragenter", (event) => (event.preventDefault(), over(1)));
  form.addEventListener("dragleave", () => over(-1));
  form.addEventListener("dragover", (event) => event.preventDefault());
  form.addEventListener("drop", async (event) => {
    event.preventDefault();
    over(-depth);
    add(await dropped(event.dataTransfer));
  });

  again.addEventListener("click", () => {
    stopped = false;
    for (const item of items) {
      if (retriable(item)) set(item, "waiting", "Waits");
    }
    next();
  });
  stop.addEventListener("click", () => {
    stopped = true;
    for (const item of items) {
      if (item.state === "waiting") set(item, "failed", "Stopped");
      item.xhr?.abort();
    }
  });
  clear.addEventListener("click", () => {
    empty();
    queue.hidden = true;
    form.elements.file.focus();
  });
  window.addEventListener("beforeunload", (event) => {
    if (going) event.preventDefault();
  });
};

if (form) listen();
