// Nothing here is needed to read the page: without scripts links open and close the panels. This adds filters,
// programs that fold, panels that are made when they are opened, and the keyboard.
(function () {
  "use strict";
  var each = Page.each;
  var main = document.querySelector("main"), viewer = document.getElementById("viewer");
  var tables = document.querySelectorAll(".grid");
  var folded = main.classList.contains("folded"), turned = {};
  var groups = null, total = Number(main.dataset.rows);
  var opened = "", before = null;

  // --- the programs behind the first ones, text until the page has opened or something asks for all of them

  function complete() {
    each(document.querySelectorAll(".rest"), function (kept) {
      var made = document.createElement("template"), table = kept.previousElementSibling;
      made.innerHTML = kept.textContent;
      each(made.content.querySelectorAll("tbody"), adopt);
      table.append.apply(table, made.content.querySelectorAll("tbody"));
      kept.remove();
    });
  }

  function adopt(body) {
    body.querySelector(".fold").setAttribute("role", "button");
    mark(body);
  }

  // --- rows, taken from the page when a filter first asks for them

  function cellOf(element) {
    var known = element.classList;
    return {
      element: element, mark: known[0], bad: known.contains("bad"), cause: element.dataset.c || "",
      change: element.dataset.d || "", error: element.textContent
    };
  }

  function index() {
    if (groups) { return groups; }
    complete();
    groups = [];
    var causes = {};
    each(document.querySelectorAll("#cause option"), function (option) { causes[option.dataset.c] = option.dataset.t; });
    each(document.querySelectorAll(".grid tbody"), function (body) {
      var about = body.dataset.program + " " + body.rows[0].cells[0].textContent;
      var group = { element: body, family: body.dataset.family, table: body.parentNode, rows: [] };
      each(body.querySelectorAll(".row"), function (element) {
        var cells = Array.prototype.slice.call(element.cells, 1).map(cellOf);
        var named = cells.map(function (cell) { return cell.error + " " + (causes[cell.cause] || ""); });
        group.rows.push({
          element: element, cells: cells,
          text: (about + " " + element.cells[0].textContent + " " + named.join(" ")).toLowerCase()
        });
      });
      groups.push(group);
    });
    return groups;
  }

  // What a log, a source or a step says is looked for in the panels' own text, escaped as it stands there; what
  // stands there as a number (a quote, a sign that is not ASCII) is a character again.
  function inPanel(row, word) {
    if (row.panel === undefined) {
      var kept = document.getElementById("n" + row.element.id);
      row.panel = kept ? kept.textContent.replace(/&#(\d+);/g, character).toLowerCase() : "";
    }
    return row.panel.indexOf(word) >= 0;
  }

  function character(_whole, number) { return String.fromCodePoint(number); }

  function escaped(word) { return word.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;"); }

  // --- filters

  function hits(cell, state) {
    if (state.cause && cell.cause !== state.cause) { return false; }
    if (state.changed && !cell.change) { return false; }
    if (state.verdict === "bad") { return cell.bad; }
    return !state.verdict || cell.mark === state.verdict;
  }

  function holds(row, state) {
    var found = state.words.every(function (word) {
      return row.text.indexOf(word) >= 0 || (state.logs && inPanel(row, escaped(word)));
    });
    if (!found || !state.ofCells) { return found; }
    var any = false;
    row.cells.forEach(function (cell, column) {
      var hit = hits(cell, state);
      cell.element.classList.toggle("dim", !hit);
      any = any || (hit && (state.column < 0 || column === state.column));
    });
    return any;
  }

  function columnOf(table, kernel) {
    return Array.prototype.indexOf.call(table.tHead.rows[0].cells, table.querySelector('th[data-kernel="' + CSS.escape(kernel) + '"]')) - 1;
  }

  function showColumn(kernel) {
    var selector = "";
    each(tables, function (table) {
      var column = kernel ? columnOf(table, kernel) : -1;
      table.parentNode.hidden = Boolean(kernel) && column < 0;
      table.classList.toggle("alone", column >= 0);
      if (column >= 0) { selector = "#" + table.id + " .cells>:nth-child(n+2):not(:nth-child(" + (column + 2) + "))"; }
    });
    Page.only(selector);
  }

  function stateOf(fields) {
    var cause = fields.cause.selectedOptions[0];
    var state = {
      words: fields.q.value.toLowerCase().split(/\s+/).filter(Boolean), logs: fields.logs.checked,
      kernel: fields.kernel.value, family: fields.family.value, verdict: fields.verdict.value,
      cause: cause ? cause.dataset.c || "" : "", changed: fields.changed.checked
    };
    state.ofCells = state.verdict || state.cause || state.changed;
    state.any = state.ofCells || state.words.length || state.family;
    return state;
  }

  // The browser draws several screens ahead. What a filter leaves is drawn at once as far as it fits one screen,
  // the rest some programs at a time when there is nothing else to do, or all of it for the keyboard and links.
  var SCREEN = Math.ceil(window.screen.height / 24), SOME = 8;
  function soon(work) {
    if (window.requestIdleCallback) { requestIdleCallback(work, { timeout: 300 }); } else { setTimeout(work, 50); }
  }
  function reveal() {
    var later = main.querySelectorAll(".later");
    each(Array.prototype.slice.call(later, 0, SOME), function (body) { body.classList.remove("later"); });
    if (later.length > SOME) { soon(reveal); }
  }
  function revealAll() {
    complete();
    each(main.querySelectorAll(".later"), function (body) { body.classList.remove("later"); });
  }

  var applied = false;
  function apply(fields) {
    var state = stateOf(fields), count = 0;
    var rows = 0;
    showColumn(state.kernel);
    main.classList.toggle("chosen", Boolean(state.ofCells));
    main.classList.toggle("narrowed", Boolean(state.any));
    if (state.any || applied) {
      applied = Boolean(state.any);
      if (state.any) { each(tables, function (table) { table.parentNode.hidden = true; }); }
      index().forEach(function (group) {
        state.column = state.kernel ? columnOf(group.table, state.kernel) : -1;
        var part = group.table.parentNode, here = 0;
        var wanted = (!state.family || group.family === state.family) && (!state.kernel || state.column >= 0);
        group.rows.forEach(function (row) {
          var shown = wanted && holds(row, state);
          row.element.hidden = !shown;
          here += shown;
        });
        group.element.hidden = !here;
        group.element.classList.toggle("later", Boolean(state.any) && rows > SCREEN);
        rows += here && here + 2;
        group.element.style.containIntrinsicHeight = state.any ? "calc(2.7rem + " + here + " * var(--row))" : "";
        part.hidden = part.hidden && !here;
        count += here;
      });
      soon(reveal);
    } else if (state.kernel) {
      complete();
      count = main.querySelectorAll(".half:not([hidden]) .row").length;
    } else { count = total; }
    document.getElementById("shown").textContent = count === total ? total + " rows" : count + " of " + total + " rows";
    document.getElementById("none").hidden = count > 0;
  }

  // --- programs that fold

  function isOpen(body) { return folded === Boolean(turned[body.dataset.program]); }

  // Only what is not as all others has a class: a class is a reason to style a program's rows again.
  function mark(body) {
    var now = isOpen(body);
    body.classList.toggle("open", folded && now);
    body.classList.toggle("shut", !folded && !now);
    body.querySelector(".fold").setAttribute("aria-expanded", String(now));
  }

  function markAll() { each(document.querySelectorAll(".grid tbody"), mark); }

  function turn(body) {
    var name = body.dataset.program;
    if (turned[name]) { delete turned[name]; } else { turned[name] = true; }
    mark(body);
    bar.save();
  }

  function unfolded(row) {
    var body = row.closest("tbody");
    if (!isOpen(body) && !main.classList.contains("narrowed")) { turn(body); }
  }

  each(document.querySelectorAll(".grid tbody"), adopt);
  var all = document.getElementById("all");
  function sayAll() { all.textContent = folded ? "unfold all" : "fold all"; }
  all.addEventListener("click", function () {
    folded = !folded;
    turned = {};
    main.classList.toggle("folded", folded);
    sayAll();
    markAll();
    bar.save();
  });

  var initially = folded;
  var bar = Page.filters(["q", "logs", "kernel", "family", "verdict", "cause", "changed"], apply, {
    save: function (query) {
      if (folded !== initially) { query.set("fold", folded ? "1" : "0"); }
      if (Object.keys(turned).length) { query.set("turned", Object.keys(turned).join(" ")); }
    },
    load: function (query) {
      folded = query.has("fold") ? query.get("fold") === "1" : initially;
      turned = {};
      (query.get("turned") || "").split(" ").filter(Boolean).forEach(function (name) { turned[name] = true; });
      main.classList.toggle("folded", folded);
      sayAll();
      markAll();
    }
  });
  Page.theme();

  function move(link, key) {
    revealAll();
    if (Page.move(link, key, document.querySelectorAll(".grid tbody tr.cells"))) { return true; }
    var heading = key === "ArrowLeft" && link.closest("tbody").querySelector(".fold");
    if (heading) { heading.focus(); }
    return Boolean(heading);
  }

  // --- panels

  function close() {
    opened = "";
    viewer.textContent = "";
    document.documentElement.classList.remove("reading");
    if (before) { before.focus({ preventScroll: true }); }
    before = null;
  }

  function linkTo(anchor) { return document.querySelector('.grid a[href="#' + CSS.escape(anchor) + '"]'); }

  function show(anchor) {
    var row = anchor.split("k")[0], kept = document.getElementById("n" + row);
    if (!kept) { return false; }
    if (opened !== row) {
      viewer.innerHTML = kept.textContent;
      opened = row;
      viewer.firstElementChild.classList.add("open");
    }
    var tab = document.getElementById(anchor);
    if (!tab) { close(); return false; }
    each(viewer.querySelectorAll(".tab.open"), function (other) { other.classList.remove("open"); });
    tab.classList.add("open");
    document.documentElement.classList.add("reading");
    var marked = tab.querySelectorAll(".log mark");
    if (marked.length) {
      var last = marked[marked.length - 1], log = last.closest(".log");
      log.scrollTop = Math.max(0, last.offsetTop - log.offsetTop - log.clientHeight / 2);
    }
    viewer.querySelector(".sheet").focus({ preventScroll: true });
    return true;
  }

  function follow() {
    var anchor = decodeURIComponent(location.hash.slice(1));
    if (/^r\d+k\d+$/.test(anchor)) {
      revealAll();
      var link = linkTo(anchor);
      if (link) {
        unfolded(link.closest("tr"));
        if (!opened && !link.closest(".row").hidden) { link.scrollIntoView({ block: "nearest" }); }
        before = link;
      }
      show(anchor);
    } else if (opened) {
      close();
    } else if (anchor && !document.getElementById(anchor)) {
      complete();
      if (document.getElementById(anchor)) { location.replace(location.hash); }
    }
  }

  window.addEventListener("load", function () { soon(complete); });
  window.addEventListener("beforeprint", complete);
  window.addEventListener("hashchange", follow);
  follow();

  function shut() {
    history.replaceState(null, "", location.pathname + location.search);
    close();
  }

  function step(by) {
    var tabs = Array.prototype.slice.call(viewer.querySelectorAll(".tab"));
    var next = tabs[tabs.indexOf(viewer.querySelector(".tab.open")) + by];
    if (next) { location.hash = next.id; }
    return Boolean(next);
  }

  viewer.addEventListener("click", function (event) {
    if (event.target.closest(".shade, .close")) { event.preventDefault(); shut(); }
    var command = event.target.closest(".command");
    if (command) { getSelection().selectAllChildren(command); }
  });

  // The focus stays in an open panel.
  document.addEventListener("focusin", function (event) {
    if (opened && !viewer.contains(event.target)) { viewer.querySelector(".sheet").focus({ preventScroll: true }); }
  });

  main.addEventListener("click", function (event) {
    var fold = event.target.closest(".fold");
    if (fold) { event.preventDefault(); turn(fold.closest("tbody")); }
  });

  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.altKey || event.metaKey) { return; }
    var steps = { ArrowLeft: -1, ArrowRight: 1 };
    if (opened) {
      if (event.key === "Escape") { shut(); event.preventDefault(); }
      if (steps[event.key] && !event.target.closest(".log") && step(steps[event.key])) { event.preventDefault(); }
      return;
    }
    var link = event.target.closest ? event.target.closest(".grid a") : null;
    if (event.key === "/" && !Page.typing(event)) {
      bar.fields.q.focus();
      bar.fields.q.select();
      event.preventDefault();
    } else if (event.key === "Escape" && event.target === bar.fields.q) {
      var first = Array.prototype.find.call(main.querySelectorAll(".grid tbody a"), Page.seen);
      if (first) { first.focus(); }
      event.preventDefault();  // it would clear the field
    } else if (event.key === " " && link && link.matches(".fold")) {
      link.click();
      event.preventDefault();
    } else if (link && /^Arrow/.test(event.key) && move(link, event.key)) {
      event.preventDefault();
    }
  });
}());
