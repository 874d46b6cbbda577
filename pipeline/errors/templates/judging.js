// Judging flips by eye: one image at a time, one key for each answer, both predictions hidden.
(() => {
  const data = JSON.parse(document.getElementById("questions").textContent);
  if (!data) return;
  const place = (name) => document.getElementById(`judge-${name}`);
  const UNSURE = -1;
  const KEYS = [..."123456789abcdefghijklmnopqrstvwxyz"]; // without u, which is unsure
  // Digits and letters are their own keys: for a 3, type 3.
  const own = (values) => values.every((v) => v === "0" || KEYS.includes(v.toLowerCase())) && new Set(values.map((v) => v.toLowerCase())).size === values.length;
  const keys = data.attributes.map(({ values }) => (own(values) ? values.map((v) => v.toLowerCase()) : KEYS));
  const items = data.items;
  const named = (item) => `${item.control ? "c" : "t"}:${item.id}`;
  const index = new Map(items.map((item, k) => [named(item), k]));
  const answers = items.map(() => data.attributes.map(() => null));
  const done = (k) => answers[k].every((code) => code !== null);
  let at = 0;
  let asked = 0;

  // Opened from disk, the page stores answers in the browser; in the frame of MLflow there is no storage and no download.
  const store = (() => {
    const key = `podium verdicts ${data.report}`;
    try {
      window.localStorage.setItem("podium test", "1");
      window.localStorage.removeItem("podium test");
      return {
        load: () => JSON.parse(window.localStorage.getItem(key) ?? "{}"),
        save: (value) => window.localStorage.setItem(key, JSON.stringify(value)),
      };
    } catch {
      return null;
    }
  })();

  function recall() {
    if (!store) return;
    try {
      for (const [name, codes] of Object.entries(store.load())) {
        if (index.has(name) && valid(codes)) answers[index.get(name)] = codes;
      }
    } catch {
      // The stored text is not ours: start without answers.
    }
  }

  function valid(codes) {
    const fits = (code, a) => code === null || code === UNSURE || code in data.attributes[a].values;
    return Array.isArray(codes) && codes.length === data.attributes.length && codes.every(fits);
  }

  function keep() {
    const some = items.map((item, k) => [named(item), answers[k]]).filter(([, codes]) => codes.some((c) => c !== null));
    try {
      if (store) store.save(Object.fromEntries(some));
    } catch {
      place("kept").textContent = _("The storage of the browser is full: export your answers before you leave the page.");
    }
    tell();
  }

  function csv() {
    const rows = items.flatMap((item, k) => {
      if (!done(k)) return [];
      const said = answers[k].map((code, a) => (code === UNSURE ? "" : data.attributes[a].values[code]));
      const yes = (flag) => (flag ? "yes" : "no");
      const unsure = yes(answers[k].includes(UNSURE));
      return [[item.id, ...said, unsure, item.stratum, item.inclusion, yes(item.control), data.report]];
    });
    return Csv.write([data.columns, ...rows]);
  }

  function tell() {
    const judged = items.filter((_, k) => done(k)).length;
    place("progress").textContent = _("{n} of {all} judged", { n: judged, all: items.length });
    place("start").textContent = judged ? _("Continue judging") : _("Start judging");
    place("csv").value = csv();
  }

  function button(value, key, code, a) {
    const made = document.createElement("button");
    made.type = "button";
    made.setAttribute("aria-pressed", String(answers[at][a] === code));
    if (key) {
      const sign = document.createElement("kbd");
      sign.textContent = key.toUpperCase();
      made.append(sign, " ");
    }
    made.append(value);
    made.addEventListener("click", () => { asked = a; answer(code); });
    return made;
  }

  function group(attribute, a) {
    const set = document.createElement("fieldset");
    if (a === asked) set.className = "now";
    const legend = document.createElement("legend");
    legend.textContent = attribute.name;
    set.append(legend, ...attribute.values.map((value, code) => button(value, keys[a][code], code, a)));
    set.append(button(_("unsure"), "u", UNSURE, a));
    return set;
  }

  function draw() {
    const item = items[at];
    place("picture").style.backgroundImage = `url(data:image/webp;base64,${data.pictures[data.picture[at]]})`;
    const what = done(at) ? _("answered") : `${data.attributes[asked].name}?`;
    place("status").textContent = _("Image {k} of {all}: {what}", { k: at + 1, all: items.length, what });
    place("answers").replaceChildren(...data.attributes.map(group));
    const words = (label) => data.codes[label].map((code, a) => data.attributes[a].values[code]).join(" · ");
    place("said").hidden = !place("show").checked;
    place("said").textContent = place("show").checked ? _("old: {old}; new: {new}", { old: words(item.old), new: words(item.new) }) : "";
    place("back").disabled = at === 0;
    place("next").disabled = at === items.length - 1;
    // While the panel is open, the gallery hides predictions as well.
    document.body.classList.toggle("blind", !place("panel").hidden && !place("show").checked);
  }

  function go(k) {
    at = Math.min(Math.max(k, 0), items.length - 1);
    asked = Math.max(0, answers[at].indexOf(null));
    draw();
  }

  function nextOpen() {
    const order = items.map((_, k) => (at + k) % items.length);
    const open = order.find((k) => !done(k));
    if (open !== undefined) return go(open);
    stop();
    place("out").open = true;
    place("csv").select();
    return place("out").scrollIntoView();
  }

  function answer(code) {
    answers[at][asked] = code;
    keep();
    const open = answers[at].indexOf(null);
    if (open < 0) nextOpen();
    else { asked = open; draw(); }
    if (!place("panel").hidden) place("panel").focus({ preventScroll: true });
  }

  function clear() {
    answers[at] = data.attributes.map(() => null);
    keep();
    go(at);
  }

  function start() {
    place("panel").hidden = false;
    const open = items.findIndex((_, k) => !done(k));
    go(Math.max(0, open));
    reveal(place("panel"));
    place("panel").focus({ preventScroll: true });
    place("panel").scrollIntoView({ block: "nearest" });
  }

  function stop() {
    place("panel").hidden = true;
    document.body.classList.remove("blind");
    place("start").focus({ preventScroll: true });
  }

  // By the position of the key, not its character: with a Korean layout the key U types ㅕ.
  function sign(event) {
    const found = /^(?:Digit|Numpad)([0-9])$|^Key([A-Z])$/.exec(event.code);
    return found ? (found[1] ?? found[2].toLowerCase()) : event.code;
  }

  function press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || place("panel").hidden) return;
    const key = sign(event);
    const code = keys[asked].indexOf(key);
    if (key === "ArrowRight") go(at + 1);
    else if (key === "ArrowLeft") go(at - 1);
    else if (key === "Backspace") clear();
    else if (key === "Escape") stop();
    else if (key === "u") answer(UNSURE);
    else if (code >= 0 && code < data.attributes[asked].values.length) answer(code);
    else return;
    event.preventDefault();
  }

  function faultsOf(rows) {
    const header = rows[0] ?? [];
    const missing = data.columns.filter((name) => !header.includes(name));
    if (missing.length) return { faults: [_("columns missing: {columns}", { columns: missing.join(", ") })], taken: [] };
    const faults = [];
    const taken = [];
    rows.slice(1).forEach((cells, k) => {
      const row = Object.fromEntries(header.map((name, c) => [name, (cells[c] ?? "").trim()]));
      const where = _("row {k}", { k: k + 2 });
      const known = index.get(`${row.control === "yes" ? "c" : "t"}:${row.id}`);
      if (row.report !== data.report) return faults.push(_("{where}: from another report ({report})", { where, report: row.report }));
      if (known === undefined) return faults.push(_("{where}: this report does not ask about {id}", { where, id: row.id }));
      const codes = data.attributes.map((attribute) => {
        const said = row[data.mark + attribute.name];
        const code = said === "" ? UNSURE : attribute.values.indexOf(said);
        if (said !== "" && code < 0) faults.push(_("{where}: {attribute} “{value}” is not a value", { where, attribute: attribute.name, value: said }));
        return code;
      });
      return taken.push([known, codes]);
    });
    return { faults, taken };
  }

  function take(text) {
    let found;
    try {
      found = faultsOf(Csv.read(text));
    } catch (error) {
      found = { faults: [error.message], taken: [] };
    }
    const list = document.createElement("ul");
    for (const fault of found.faults) {
      const line = document.createElement("li");
      line.textContent = fault;
      list.append(line);
    }
    const said = document.createElement("p");
    if (found.faults.length) said.textContent = _("Nothing was imported:");
    else {
      for (const [k, codes] of found.taken) answers[k] = codes;
      keep();
      if (!place("panel").hidden) draw();
      said.textContent = _("{n} answers imported.", { n: found.taken.length });
    }
    place("faults").replaceChildren(said, list);
  }

  function download() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
    link.download = "verdicts.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  place("bar").hidden = false;
  place("show").checked = data.show;
  place("kept").textContent = store
    ? _("This browser stores your answers until you clear its data.")
    : _("Nothing is stored in this frame: copy the text below before you leave the page.");
  place("download").hidden = !store;
  place("start").addEventListener("click", start);
  place("stop").addEventListener("click", stop);
  place("back").addEventListener("click", () => go(at - 1));
  place("next").addEventListener("click", () => go(at + 1));
  place("clear").addEventListener("click", clear);
  place("show").addEventListener("change", draw);
  place("panel").addEventListener("keydown", press);
  place("select").addEventListener("click", () => place("csv").select());
  place("out").addEventListener("toggle", () => { if (place("out").open) place("csv").select(); });
  place("download").addEventListener("click", download);
  place("take").addEventListener("click", () => take(place("paste").value));
  place("file").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    if (file) take(await file.text());
  });
  recall();
  tell();
})();
