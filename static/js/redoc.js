// Redoc's badge loads its logo from a CDN: an installation without a network must not even try.
const setAttribute = HTMLImageElement.prototype.setAttribute;
HTMLImageElement.prototype.setAttribute = function (name, value) {
  if (name === "src" && String(value).startsWith("https://cdn.redoc.ly/")) return;
  setAttribute.call(this, name, value);
};
window.Redoc.init(
  document.body.dataset.openapi,
  { theme: { colors: { primary: { main: "#0a5f69" } } } },
  document.getElementById("redoc"),
);
