// Show one image at a time in every section, and draw clouds of images. Texts from data go through textContent.
(() => {
  const choice = document.getElementById("case");
  if (choice) {
    choice.closest(".controls").hidden = false;
    choice.addEventListener("change", () => {
      for (const row of document.querySelectorAll(".shots")) {
        if (choice.value !== "" && row.dataset.case === choice.value) reveal(row);
        row.hidden = choice.value !== "" && row.dataset.case !== "" && row.dataset.case !== choice.value;
      }
    });
  }

  const SIDE = 520, EDGE = 14, KINDS = 10;
  const svg = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const element = (name, className, text) => {
    const made = document.createElement(name);
    made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };

  const draw = (host, cloud) => {
    host.replaceChildren();
    const bar = element("div", "controls"), label = element("label", "", "Colour by ");
    const colour = document.createElement("select");
    cloud.colours.forEach((one, at) => {
      const option = element("option", "", one.name);
      option.value = at;
      colour.append(option);
    });
    label.append(colour);
    bar.append(label);
    const frame = element("div", "frame"), legend = element("p", "legend");
    const picture = svg("svg", { viewBox: `0 0 ${SIDE} ${SIDE}`, tabindex: 0, role: "img" });
    picture.setAttribute("aria-label", `${cloud.names.length} images; use the arrow keys to move between them`);
    const tip = element("div", "tip");
    tip.hidden = true;
    const place = (share) => EDGE + share * (SIDE - 2 * EDGE);
    const dots = cloud.names.map((name, at) => {
      const dot = svg("circle", { cx: place(cloud.x[at]), cy: place(1 - cloud.y[at]), r: 4 });
      dot.dataset.at = at;
      picture.append(dot);
      return dot;
    });
    const paint = () => {
      const one = cloud.colours[colour.value || 0];
      legend.replaceChildren();
      if (!one) return;
      dots.forEach((dot, at) => dot.setAttribute("class", `k${Math.min(one.of[at], KINDS - 1)}`));
      one.kinds.slice(0, KINDS).forEach((kind, at) => {
        const rest = at === KINDS - 1 && one.kinds.length > KINDS;
        const key = element("span", `key k${at}`, rest ? `${one.kinds.length - at} others` : kind);
        legend.append(key);
      });
    };
    let current = -1;
    const show = (at) => {
      if (current >= 0) dots[current].classList.remove("on");
      current = at;
      tip.hidden = at < 0;
      if (at < 0) return;
      dots[at].classList.add("on");
      tip.replaceChildren();
      if (cloud.thumbs[at]) {
        const image = document.createElement("img");
        image.src = cloud.thumbs[at];
        image.alt = "";
        tip.append(image);
      }
      tip.append(element("b", "", cloud.names[at]));
      for (const one of cloud.colours) tip.append(element("span", "", `${one.name}: ${one.kinds[one.of[at]]}`));
      if (cloud.notes[at]) tip.append(element("span", "", cloud.notes[at]));
      const left = cloud.x[at] > 0.5;
      tip.style.left = left ? "auto" : `${6 + 88 * cloud.x[at]}%`;
      tip.style.right = left ? `${6 + 88 * (1 - cloud.x[at])}%` : "auto";
      tip.style.top = `${Math.min(92 * (1 - cloud.y[at]), 70)}%`;
    };
    picture.addEventListener("pointermove", (event) => {
      const at = event.target.dataset ? event.target.dataset.at : undefined;
      if (at !== undefined) show(Number(at));
    });
    picture.addEventListener("pointerleave", () => show(-1));
    picture.addEventListener("blur", () => show(-1));
    picture.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") show(-1);
      if (!step) return;
      event.preventDefault();
      show((Math.max(current, step > 0 ? -1 : 0) + step + dots.length) % dots.length);
    });
    colour.addEventListener("change", paint);
    if (cloud.colours.length) host.append(bar);
    frame.append(picture, tip);
    host.append(frame, legend);
    paint();
  };

  const clouds = JSON.parse(document.getElementById("clouds").textContent);
  for (const host of document.querySelectorAll(".cloud")) draw(host, clouds[Number(host.dataset.cloud)]);
})();
