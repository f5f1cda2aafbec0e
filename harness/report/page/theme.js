// Runs before anything is drawn: tells the style that scripts run, and which theme was chosen here before.
document.documentElement.classList.add("js");
try { document.documentElement.dataset.theme = localStorage.getItem("bpfmatrix-theme") || "auto"; } catch (_error) { document.documentElement.dataset.theme = "auto"; }
