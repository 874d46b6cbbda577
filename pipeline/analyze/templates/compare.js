// Filter and sort the gallery of changed predictions. Without this script all of it is shown, in order of gap.
(() => {
  const gallery = document.getElementById("gallery");
  if (!gallery) return;
  const directions = JSON.parse(document.getElementById("directions").textContent);
  const [attribute, direction, sort] = ["attribute", "direction", "sort"].map((id) => document.getElementById(id));
  const cards = Array.from(gallery.children, (node) => ({
    node,
    id: node.dataset.id,
    directions: node.dataset.directions.split(" ").map(Number),
    old: Number(node.dataset.old),
    new: Number(node.dataset.new),
    gap: node.dataset.gap === "" ? null : Number(node.dataset.gap),
  }));
  const byId = (a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
  const orders = {
    gap: (a, b) => b.gap - a.gap || byId(a, b),
    unsure: (a, b) => a.gap - b.gap || byId(a, b),
    new: (a, b) => a.new - b.new || b.gap - a.gap || byId(a, b),
    old: (a, b) => a.old - b.old || b.gap - a.gap || byId(a, b),
    id: byId,
  };

  function listDirections() {
    const all = new Option("all", "");
    const wanted = directions
      .map((row, index) => ({ ...row, index }))
      .filter((row) => !attribute.value || row.attribute === attribute.value);
    direction.replaceChildren(all, ...wanted.map((row) => new Option(`${row.text} (${row.images})`, row.index)));
  }

  function fits(card) {
    if (direction.value) return card.directions.includes(Number(direction.value));
    return !attribute.value || card.directions.some((index) => directions[index].attribute === attribute.value);
  }

  function show() {
    const sorted = [...cards].sort(orders[sort.value]);
    gallery.replaceChildren(...sorted.map((card) => card.node));
    let shown = 0;
    for (const card of cards) {
      card.node.hidden = !fits(card);
      shown += card.node.hidden ? 0 : 1;
    }
    document.getElementById("shown").textContent = `${shown} of ${cards.length} shown`;
  }

  attribute.addEventListener("change", () => { listDirections(); show(); });
  direction.addEventListener("change", show);
  sort.addEventListener("change", show);
  for (const button of document.querySelectorAll("button[data-direction]")) {
    button.addEventListener("click", () => {
      attribute.value = directions[Number(button.dataset.direction)].attribute;
      listDirections();
      direction.value = button.dataset.direction;
      show();
      document.getElementById("controls").scrollIntoView();
    });
  }
  for (const button of document.querySelectorAll("button[data-attribute][data-old][data-new]")) {
    const { attribute: name, old, new: now } = button.dataset;
    button.addEventListener("click", () => {
      const index = directions.findIndex((row) => row.attribute === name && row.text === `${old} → ${now}`);
      attribute.value = index < 0 ? "" : name;
      listDirections();
      direction.value = index < 0 ? "" : String(index);
      show();
      document.getElementById("controls").scrollIntoView();
    });
  }
  listDirections();
  show();
})();
