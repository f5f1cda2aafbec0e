// Nothing here is needed to read the page: links open and close the panels. This adds the filters, whose state
// is the address, Escape, `/` and the arrow keys.
(function () {
  "use strict";
  var SIGNS = { y: "✓", n: "✗", u: "?", o: "·" };
  var LETTERS = { yes: "y", no: "n", unknown: "u" };
  var data = JSON.parse(document.getElementById("data").textContent);
  var fields = {};
  ["q", "kind", "kernel", "answer", "type", "flag"].forEach(function (name) {
    fields[name] = document.getElementById(name);
  });
  var sheet = document.styleSheets[0], ruled = -1;  // the page's own: the policy allows no second one
  var rows = [], bodies = [], typed = "";

  function each(list, work) { Array.prototype.forEach.call(list, work); }

  each(document.querySelectorAll(".grid tbody"), function (body) {
    var group = { element: body, kind: body.dataset.kind, rows: [] };
    each(body.rows, function (element) {
      if (element.classList.contains("heading")) { return; }
      var name = element.cells[0].textContent;
      var cells = Array.prototype.slice.call(element.cells, 3);
      if (body.classList.contains("plain")) { cells = []; }
      var row = {
        element: element, cells: cells, flags: (element.dataset.f || "").split(" "),
        text: (name + " " + (element.dataset.s || "")).toLowerCase(),
        masks: element.dataset.m ? element.dataset.m.split(" ").map(Number) : null,
        classes: cells.map(function (cell) { return cell.className; })
      };
      group.rows.push(row);
      rows.push(row);
    });
    bodies.push(group);
  });

  function letter(row, column, type) {
    if (type >= 0) { return row.masks ? data.masks[row.masks[column]][type] : "o"; }
    return row.classes[column].charAt(0);
  }

  // With a program type chosen, cells of helpers and kfuncs show that type's answer.
  function paint(name) {
    if (name === typed) { return; }
    typed = name;
    var type = data.types.indexOf(name);
    document.querySelector(".grid").classList.toggle("typed", type >= 0);
    rows.forEach(function (row) {
      if (!row.masks) { return; }
      row.cells.forEach(function (cell, column) {
        var sign = letter(row, column, type);
        cell.className = type >= 0 ? sign : row.classes[column];
        var mark = cell.querySelector("b");
        if (mark) { mark.textContent = SIGNS[sign]; }
      });
    });
  }

  function showColumn(column) {
    if (ruled >= 0) { sheet.deleteRule(ruled); ruled = -1; }
    if (column >= 0) {
      var others = ".grid tr:not(.heading)>:nth-child(n+4):not(:nth-child(" + (column + 4) + ")):not(.rest)";
      ruled = sheet.insertRule(others + ":not([colspan]){display:none}", sheet.cssRules.length);
    }
  }

  function holds(row, state) {
    if (state.words.some(function (word) { return row.text.indexOf(word) < 0; })) { return false; }
    if (state.type >= 0 && !row.masks) { return false; }
    if (state.flag === "contradiction") {
      if (!row.flags.some(function (flag) { return flag && flag !== "sources"; })) { return false; }
    } else if (state.flag && row.flags.indexOf(state.flag) < 0) { return false; }
    if (!state.answer) { return true; }
    return row.cells.some(function (_cell, column) {
      return (state.column < 0 || column === state.column) && letter(row, column, state.type) === state.answer;
    });
  }

  function apply() {
    var state = {
      words: fields.q.value.toLowerCase().split(/\s+/).filter(Boolean),
      answer: LETTERS[fields.answer.value] || "", flag: fields.flag.value,
      column: data.kernels.indexOf(fields.kernel.value), type: data.types.indexOf(fields.type.value)
    };
    var count = 0;
    paint(fields.type.value);
    showColumn(state.column);
    bodies.forEach(function (body) {
      var here = 0, wanted = !fields.kind.value || body.kind === fields.kind.value;
      body.rows.forEach(function (row) {
        var shown = wanted && holds(row, state);
        row.element.hidden = !shown;
        here += shown;
      });
      body.element.hidden = !here;
      count += here;
    });
    document.getElementById("shown").textContent = count === rows.length ? count + " features" : count + " of " + rows.length;
    document.getElementById("none").hidden = count > 0;
  }

  function save() {
    var query = new URLSearchParams();
    Object.keys(fields).forEach(function (name) {
      if (fields[name].value) { query.set(name, fields[name].value); }
    });
    var text = query.toString();
    try { history.replaceState(null, "", location.pathname + (text ? "?" + text : "") + location.hash); } catch (_error) { /* a browser that keeps the addresses of files as they are */ }
  }

  function load() {
    var query = new URLSearchParams(location.search);
    Object.keys(fields).forEach(function (name) {
      var field = fields[name];
      field.value = query.get(name) || "";
      if (field.selectedIndex === -1) { field.value = ""; }  // an option there is not
    });
    apply();
  }

  function changed() { apply(); save(); }

  function clear() {
    Object.keys(fields).forEach(function (name) { fields[name].value = ""; });
    changed();
    fields.q.focus();
  }

  document.getElementById("bar").hidden = false;
  document.getElementById("bar").addEventListener("submit", function (event) { event.preventDefault(); });
  document.getElementById("bar").addEventListener("input", changed);
  document.getElementById("bar").addEventListener("change", changed);
  document.getElementById("reset").addEventListener("click", clear);
  window.addEventListener("popstate", load);
  load();
  // The browser scrolled to the address before the filters moved everything.
  if (location.hash.length > 1) {
    var aim = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (aim) { aim.scrollIntoView({ block: "center" }); }
  }

  function move(link, key) {
    var cell = link.closest("td,th"), row = cell.parentNode, at = cell.cellIndex, next = null;
    if (key === "ArrowLeft" || key === "ArrowRight") {
      var links = Array.prototype.slice.call(row.querySelectorAll("a")).filter(function (a) { return a.offsetParent; });
      next = links[links.indexOf(link) + (key === "ArrowRight" ? 1 : -1)];
    } else {
      var all = rows.map(function (each) { return each.element; }).filter(function (each) { return each.offsetParent; });
      for (var i = all.indexOf(row), step = key === "ArrowDown" ? 1 : -1; all[i + step] && !next; i += step) {
        next = all[i + step].cells[at] && all[i + step].cells[at].querySelector("a");
      }
    }
    if (next) { next.focus(); }
    return Boolean(next);
  }

  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.altKey || event.metaKey) { return; }
    var typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    var part = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    var link = event.target.closest ? event.target.closest(".grid a") : null;
    if (event.key === "Escape" && part && part.classList.contains("part")) {
      var cell = Array.prototype.find.call(document.querySelectorAll(".grid a"), function (a) { return a.getAttribute("href") === location.hash; });
      location.hash = location.hash.replace(/@.*$/, "");
      if (cell) { cell.focus({ preventScroll: true }); }
    } else if (event.key === "/" && !typing) {
      fields.q.focus();
      fields.q.select();
      event.preventDefault();
    } else if (link && /^Arrow/.test(event.key) && move(link, event.key)) {
      event.preventDefault();
    }
  });
}());
