"use strict";
// A text in the language of the page; see `script_words` in pages/report.py.
const translations = JSON.parse((document.getElementById("translations") || { textContent: "{}" }).textContent);
const _ = (text, values = {}) =>
  (translations[text] || text).replace(/\{(\w+)\}/g, (place, name) => (name in values ? values[name] : place));
// In a frame, as in the MLflow UI, the home page is not where the link looks for it.
if (window.parent !== window) for (const link of document.querySelectorAll("a.home")) link.hidden = true;
// In a frame made from text (as in the MLflow UI) `#here` refers to the outer page, so scroll by script.
// What is folded opens when something leads to it: a link, a button, or the address.
const reveal = (place) => {
  if (!place) return;
  for (let one = place.closest("details"); one; one = one.parentElement.closest("details")) one.open = true;
  for (const one of place.querySelectorAll(":scope > details.fold")) one.open = true;
};
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#"]');
  if (!link) return;
  const target = document.getElementById(link.getAttribute("href").slice(1));
  if (!target) return;
  event.preventDefault();
  reveal(target);
  target.scrollIntoView();
  target.tabIndex = -1;
  target.focus({ preventScroll: true });
});
if (location.hash.length > 1) reveal(document.getElementById(decodeURIComponent(location.hash.slice(1))));
