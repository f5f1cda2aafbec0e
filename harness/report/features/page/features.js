// Nothing here is needed to read the page: links open and close the panels. This adds the filters, whose state
// is the address, Escape, `/` and the arrow keys.
(function () {
  "use strict";
  var SIGNS = { y: "✓", n: "✗", u: "?", o: "·" };
  var LETTERS = { yes: "y", no: "n", unknown: "u" };
  var data = JSON.parse(document.getElementById("data").textContent);
  var each = Page.each, rows = [], bodies = [], typed = "";

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
    var others = ".grid tr:not(.heading)>:nth-child(n+4):not(:nth-child(" + (column + 4) + ")):not(.rest)";
    Page.only(column >= 0 ? others + ":not([colspan])" : "");
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

  function apply(fields) {
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

  var fields = Page.filters(["q", "kind", "kernel", "answer", "type", "flag"], apply).fields;
  Page.theme();
  // The browser scrolled to the address before the filters moved everything.
  if (location.hash.length > 1) {
    var aim = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (aim) { aim.scrollIntoView({ block: "center" }); }
  }

  function lines() { return rows.map(function (row) { return row.element; }); }

  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.altKey || event.metaKey) { return; }
    var part = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    var link = event.target.closest ? event.target.closest(".grid a") : null;
    if (event.key === "Escape" && part && part.classList.contains("part")) {
      var cell = Array.prototype.find.call(document.querySelectorAll(".grid a"), function (a) { return a.getAttribute("href") === location.hash; });
      location.hash = location.hash.replace(/@.*$/, "");
      if (cell) { cell.focus({ preventScroll: true }); }
    } else if (event.key === "/" && !Page.typing(event)) {
      fields.q.focus();
      fields.q.select();
      event.preventDefault();
    } else if (link && /^Arrow/.test(event.key) && Page.move(link, event.key, lines())) {
      event.preventDefault();
    }
  });
}());
