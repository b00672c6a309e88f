// Read from a folder, a page may not fetch others: then search shows titles without the text around what was found.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// A formula in a line of text that is wider than the text scrolls by itself. The others keep their baseline.
function letWideFormulaeScroll() {
  for (const formula of document.querySelectorAll("mjx-container:not([display])")) {
    formula.classList.remove("wide");
    const room = formula.closest("p, .line, dd, td, li")?.clientWidth;
    formula.classList.toggle("wide", Boolean(room) && formula.getBoundingClientRect().width > room);
  }
}

window.addEventListener("load", () => {
  if (window.MathJax?.startup) MathJax.startup.promise.then(letWideFormulaeScroll);
});
window.addEventListener("resize", letWideFormulaeScroll);
