// Filter the gallery of out-of-fold errors by kind and by a cell of a confusion matrix.
(() => {
  const gallery = document.getElementById("truth-gallery");
  if (!gallery) return;
  const data = JSON.parse(document.getElementById("truth-data").textContent);
  const [kind, sort, clear, shown] = ["kind", "sort", "clear", "shown"].map((n) => document.getElementById(`truth-${n}`));
  const cards = Array.from(gallery.children, (node) => ({
    node,
    kind: node.dataset.kind,
    true: Number(node.dataset.true),
    new: Number(node.dataset.new),
    sure: Number(node.dataset.sure),
  }));
  const orders = {
    sure: (a, b) => b.sure - a.sure,
    unsure: (a, b) => a.sure - b.sure,
    true: (a, b) => a.true - b.true || a.new - b.new || b.sure - a.sure,
  };
  let cell = null;

  function fits(card) {
    if (kind.value && card.kind !== kind.value) return false;
    if (!cell) return true;
    const code = data.codes[cell.part];
    return code[card.true] === cell.row && code[card.new] === cell.column;
  }

  function show() {
    const sorted = [...cards].sort(orders[sort.value]);
    if (sorted.some((card, at) => gallery.children[at] !== card.node)) {
      gallery.replaceChildren(...sorted.map((card) => card.node));
    }
    let count = 0;
    for (const card of cards) {
      card.node.hidden = !fits(card);
      count += card.node.hidden ? 0 : 1;
    }
    clear.hidden = !cell;
    const values = cell && data.values[cell.part];
    const what = cell ? `, ${cell.part}: ${values[cell.row]} → ${values[cell.column]}` : "";
    shown.textContent = _("{n} of {all} shown", { n: count, all: cards.length }) + what;
  }

  function choose(part, row, column) {
    cell = { part, row, column };
    kind.value = "";
    show();
    reveal(document.getElementById("errors"));
    document.getElementById("errors").scrollIntoView();
    kind.focus({ preventScroll: true });
  }

  for (const one of document.querySelectorAll("button[data-part]")) {
    one.addEventListener("click", () => choose(one.dataset.part, Number(one.dataset.true), Number(one.dataset.said)));
  }
  kind.addEventListener("change", show);
  sort.addEventListener("change", show);
  clear.addEventListener("click", () => { cell = null; show(); });
  show();
})();
