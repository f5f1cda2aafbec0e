// Nothing here is needed: links open and close the panels. This adds Escape and the arrow keys.
document.addEventListener("keydown", function (event) {
  var tab = document.getElementById(location.hash.slice(1));
  if (!tab || !tab.classList.contains("tab") || event.ctrlKey || event.altKey || event.metaKey) { return; }
  var panel = tab.closest(".panel");
  var tabs = Array.prototype.slice.call(panel.querySelectorAll(".tab"));
  var step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (event.key === "Escape") {
    location.hash = panel.id.slice(1);
    var cell = document.querySelector('a[href="#' + tab.id + '"]');
    if (cell) { cell.focus({ preventScroll: true }); }
  } else if (step) {
    var next = tabs[tabs.indexOf(tab) + step];
    if (next) { location.hash = next.id; event.preventDefault(); }
  }
});
