// The gallery of changed predictions: filter, sort and turn pages. One page of cards is in the document at a time.
(() => {
  const gallery = document.getElementById("gallery");
  if (!gallery) return;
  const parse = (id) => JSON.parse(document.getElementById(id).textContent);
  const cards = parse("cards");
  const directions = parse("directions");
  const near = cards.near;
  const place = (id) => document.getElementById(id);
  const [attribute, direction, confidence, sort] = ["attribute", "direction", "confidence", "sort"].map(place);
  const names = cards.attributes.map((one) => one.name);
  const everything = cards.id.map((_, k) => k);
  let order = everything;
  let first = 0;

  const byId = (a, b) => (cards.id[a] < cards.id[b] ? -1 : cards.id[a] > cards.id[b] ? 1 : 0);
  const byGap = (a, b) => (cards.gap[b] ?? -2) - (cards.gap[a] ?? -2) || byId(a, b);
  const orders = {
    gap: byGap,
    unsure: (a, b) => (cards.gap[a] ?? 2) - (cards.gap[b] ?? 2) || byId(a, b),
    new: (a, b) => cards.new[a] - cards.new[b] || byGap(a, b),
    old: (a, b) => cards.old[a] - cards.old[b] || byGap(a, b),
    id: byId,
  };

  function value(label, name) {
    const at = names.indexOf(name);
    return at < 0 ? cards.classes[label] : cards.attributes[at].values[cards.codes[label][at]];
  }

  function listDirections() {
    const wanted = directions
      .map((row, index) => ({ ...row, index }))
      .filter((row) => (attribute.value ? row.attribute === attribute.value : names.includes(row.attribute)));
    const text = (row) => `${row.old} → ${row.new} (${row.images})`;
    direction.replaceChildren(new Option(_("all"), ""), ...wanted.map((row) => new Option(text(row), row.index)));
  }

  function wantedSure(k) {
    if (!confidence || !confidence.value) return true;
    const sure = (p) => (p >= cards.sure ? "1" : "0");
    return sure(cards.p_new[k]) + sure(cards.p_old[k]) === confidence.value;
  }

  function fits(k) {
    if (!wantedSure(k)) return false;
    if (direction.value !== "") {
      const row = directions[Number(direction.value)];
      return value(cards.old[k], row.attribute) === row.old && value(cards.new[k], row.attribute) === row.new;
    }
    return !attribute.value || value(cards.old[k], attribute.value) !== value(cards.new[k], attribute.value);
  }

  function element(tag, classes, text) {
    const made = document.createElement(tag);
    if (classes) made.className = classes;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function percent(p) {
    const whole = 100 * p;
    if (whole > 0 && whole < 0.05) return "<0.1\u00a0%";
    if (whole >= 99.95 && whole < 100) return ">99.9\u00a0%";
    const near = (whole > 0 && whole < 9.95) || (whole >= 99.5 && whole < 100);
    return `${near ? whole.toFixed(1) : whole.toFixed(0)}\u00a0%`;
  }

  function side(list, which, word, label, other, p) {
    list.append(element("dt", "", word));
    const said = element("dd", which);
    cards.codes[label].forEach((code, a) => {
      if (a) said.append(" · ");
      said.append(element("span", code === cards.codes[other][a] ? "" : "changed", cards.attributes[a].values[code]));
    });
    list.append(said, element("dd", "n", p === null ? "" : percent(p)));
    if (p === null) return;
    const meter = element("dd", `meter ${which}`);
    const bar = element("i");
    bar.style.width = `${(100 * p).toFixed(1)}%`;
    meter.setAttribute("aria-hidden", "true");
    meter.append(bar);
    list.append(meter);
  }

  function thumb(data, label) {
    const picture = element("span", "thumb");
    picture.setAttribute("role", "img");
    picture.setAttribute("aria-label", label);
    picture.title = label;
    picture.style.backgroundImage = `url(data:image/webp;base64,${data})`;
    return picture;
  }

  // The nearest training images of a flip with a small confidence gap, with their labels.
  function neighbours(of) {
    const made = element("details", "near");
    const counted = new Map();
    for (const n of of) counted.set(near.label[n], (counted.get(near.label[n]) ?? 0) + 1);
    const said = [...counted].map(([label, times]) => `${times}× ${cards.classes[label]}`).join(", ");
    made.append(element("summary", "", _("nearest: {labels}", { labels: said })));
    const strip = element("div", "strip");
    for (const n of of) {
      const figure = element("figure");
      const label = cards.classes[near.label[n]];
      figure.append(thumb(near.pictures[near.picture[n]], `train/${near.id[n]}: ${label}`), element("figcaption", "", label));
      strip.append(figure);
    }
    made.append(strip);
    return made;
  }

  function card(k) {
    const article = element("article", "flip");
    article.dataset.id = cards.id[k];
    const label = `${cards.id[k]}: ${cards.classes[cards.old[k]]} → ${cards.classes[cards.new[k]]}`;
    const picture = thumb(cards.pictures[cards.picture[k]], label);
    const list = element("dl");
    list.append(element("dt", "id", cards.id[k]));
    side(list, "old", _("old"), cards.old[k], cards.new[k], cards.p_old[k]);
    side(list, "new", _("new"), cards.new[k], cards.old[k], cards.p_new[k]);
    article.append(picture, list);
    if (near && near.of[k].length) article.append(neighbours(near.of[k]));
    return article;
  }

  function draw() {
    const last = Math.min(first + cards.page, order.length);
    gallery.replaceChildren(...order.slice(first, last).map(card));
    if (!order.length) gallery.append(element("p", "muted", _("No flip matches these filters.")));
    const number = (n) => n.toLocaleString("en");
    place("shown").textContent = _("{n} of {all} shown", { n: number(order.length), all: number(cards.id.length) });
    place("pager").hidden = order.length <= cards.page;
    place("where").textContent = _("{first} to {last} of {all}", { first: number(first + 1), last: number(last), all: number(order.length) });
    place("earlier").disabled = first === 0;
    place("later").disabled = last >= order.length;
  }

  function show() {
    order = everything.filter(fits).sort(orders[sort.value]);
    first = 0;
    draw();
  }

  function turn(step) {
    first = Math.max(0, first + step * cards.page);
    draw();
    reveal(place("controls"));
    place("controls").scrollIntoView();
    gallery.focus({ preventScroll: true });
  }

  // Flips of one attribute (or of the class) from one value to another.
  function choose(part, old, now) {
    const name = part === "class" && names.length === 1 ? names[0] : part; // with a single attribute, its name stands for the class
    attribute.value = name;
    if (confidence) confidence.value = "";
    listDirections();
    const at = directions.findIndex((row) => row.attribute === name && row.old === old && row.new === now);
    if (at < 0) direction.append(new Option(`${old} → ${now} (0)`, directions.push({ attribute: name, old, new: now, images: 0 }) - 1));
    direction.value = String(at < 0 ? directions.length - 1 : at);
    show();
    reveal(place("controls"));
    place("controls").scrollIntoView();
    direction.focus({ preventScroll: true });
  }

  document.addEventListener("click", (event) => {
    const cell = event.target.closest("[data-attribute][data-old][data-new]");
    if (cell) choose(cell.dataset.attribute, cell.dataset.old, cell.dataset.new);
  });
  attribute.addEventListener("change", () => { listDirections(); show(); });
  for (const select of [direction, confidence, sort]) if (select) select.addEventListener("change", show);
  place("earlier").addEventListener("click", () => turn(-1));
  place("later").addEventListener("click", () => turn(1));
  listDirections();
  show();
})();
