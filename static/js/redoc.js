// Redoc's badge loads its logo from a CDN, by attribute and by property: an installation without a network must not try.
const elsewhere = (value) => String(value).startsWith("https://cdn.redoc.ly/");
const image = HTMLImageElement.prototype;
const { setAttribute } = image;
const { get, set } = Object.getOwnPropertyDescriptor(image, "src");

image.setAttribute = function (name, value) {
  if (name !== "src" || !elsewhere(value)) setAttribute.call(this, name, value);
};
Object.defineProperty(image, "src", {
  configurable: true,
  get,
  set(value) {
    if (!elsewhere(value)) set.call(this, value);
  },
});

window.Redoc.init(
  document.body.dataset.openapi,
  { theme: { colors: { primary: { main: "#0a5f69" } } } },
  document.getElementById("redoc"),
);
