// What the pages share: the theme, filters whose state is the address, one column alone, arrow keys.
var Page = (function () {
  "use strict";

  function each(list, work) { Array.prototype.forEach.call(list, work); }

  function theme() {
    var root = document.documentElement, button = document.getElementById("theme");
    var order = ["auto", "light", "dark"], signs = { auto: "◐", light: "☀", dark: "☾" };
    function show() {
      button.textContent = signs[root.dataset.theme] + " " + root.dataset.theme;
    }
    if (order.indexOf(root.dataset.theme) < 0) { root.dataset.theme = "auto"; }
    button.hidden = false;
    show();
    button.addEventListener("click", function () {
      root.dataset.theme = order[(order.indexOf(root.dataset.theme) + 1) % order.length];
      try { localStorage.setItem("bpfmatrix-theme", root.dataset.theme); } catch (_error) { /* not kept, then */ }
      show();
    });
  }

  // Fields by their ids; `apply` is called after every change, and once now. `more` adds what is no field.
  function filters(names, apply, more) {
    var fields = {}, bar = document.getElementById("bar");
    names.forEach(function (name) { fields[name] = document.getElementById(name); });

    function value(field) { return field.type === "checkbox" ? (field.checked ? "1" : "") : field.value; }

    function set(field, text) {
      if (field.type === "checkbox") { field.checked = text === "1"; return; }
      field.value = text;
      if (field.selectedIndex === -1) { field.value = ""; }  // an option there is not
    }

    function save() {
      var query = new URLSearchParams();
      names.forEach(function (name) { if (value(fields[name])) { query.set(name, value(fields[name])); } });
      if (more) { more.save(query); }
      var text = query.toString();
      try { history.replaceState(null, "", location.pathname + (text ? "?" + text : "") + location.hash); } catch (_error) { /* a browser that keeps the addresses of files as they are */ }
    }

    function load() {
      var query = new URLSearchParams(location.search);
      names.forEach(function (name) { set(fields[name], query.get(name) || ""); });
      if (more) { more.load(query); }
      apply(fields);
    }

    function changed() { apply(fields); save(); }

    bar.hidden = false;
    bar.addEventListener("submit", function (event) { event.preventDefault(); });
    bar.addEventListener("input", changed);
    bar.addEventListener("change", changed);
    document.getElementById("reset").addEventListener("click", function () {
      names.forEach(function (name) { set(fields[name], ""); });
      if (more) { more.load(new URLSearchParams()); }
      changed();
      fields.q.focus();
    });
    window.addEventListener("popstate", load);
    load();
    return { fields: fields, changed: changed, save: save };
  }

  // The page's own style sheet takes the rule that hides the other columns: the policy allows no second one.
  var ruled = -1;
  function only(selector) {
    var sheet = document.styleSheets[0];
    if (ruled >= 0) { sheet.deleteRule(ruled); ruled = -1; }
    if (selector) { ruled = sheet.insertRule(selector + "{display:none}", sheet.cssRules.length); }
  }

  function seen(element) { return element.offsetParent !== null; }

  // From a link of the grid to the next one in the direction of an arrow key; `rows` are those of the grid.
  function move(link, key, rows) {
    var cell = link.closest("td,th"), row = cell.parentNode, at = cell.cellIndex, next = null;
    if (key === "ArrowLeft" || key === "ArrowRight") {
      var links = Array.prototype.filter.call(row.querySelectorAll("a"), seen);
      next = links[links.indexOf(link) + (key === "ArrowRight" ? 1 : -1)];
    } else {
      var all = Array.prototype.filter.call(rows, seen), step = key === "ArrowDown" ? 1 : -1;
      for (var i = all.indexOf(row) + step; all[i] && !next; i += step) {
        next = (all[i].cells[at] && all[i].cells[at].querySelector("a")) || (!at && all[i].querySelector("a"));
      }
    }
    if (next) { next.focus(); }
    return Boolean(next);
  }

  function typing(event) { return /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName); }

  return { each: each, theme: theme, filters: filters, only: only, move: move, seen: seen, typing: typing };
}());
