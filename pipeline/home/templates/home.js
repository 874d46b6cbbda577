// Tabs, copying a command, and the content anew every few seconds while `make serve` shows the page.
(() => {
  const bar = document.querySelector("[role=tablist]");
  const links = () => [...bar.querySelectorAll("[data-tab]")];
  const chosen = () => {
    const asked = decodeURIComponent(location.hash.slice(1));
    return links().find((link) => link.dataset.tab === asked) || links()[0];
  };
  const show = () => {
    const tab = chosen();
    for (const link of links()) {
      link.setAttribute("role", "tab");
      link.setAttribute("aria-controls", link.dataset.tab);
      link.setAttribute("aria-selected", String(link === tab));
      link.tabIndex = link === tab ? 0 : -1;
    }
    for (const panel of document.querySelectorAll("[data-panel]")) {
      panel.setAttribute("role", "tabpanel");
      panel.setAttribute("aria-labelledby", "tab-" + panel.dataset.panel);
      panel.hidden = panel.dataset.panel !== tab.dataset.tab;
    }
    for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;
  };
  const choose = (link) => {
    history.replaceState(null, "", "#" + encodeURIComponent(link.dataset.tab));
    show();
    link.focus({ preventScroll: true });
  };
  bar.addEventListener("click", (event) => {
    const link = event.target.closest("[data-tab]");
    if (!link) return;
    event.preventDefault();
    event.stopPropagation();
    choose(link);
  });
  bar.addEventListener("keydown", (event) => {
    const all = links();
    const at = all.indexOf(event.target);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    choose(all[(to + all.length) % all.length]);
  });
  const say = (button, text) => {
    button.textContent = text;
    setTimeout(() => { button.textContent = _("Copy"); }, 1500);
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      say(button, _("Copied"));
    } catch {
      const range = document.createRange();
      range.selectNodeContents(button.parentNode.querySelector("code"));
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      say(button, document.execCommand("copy") ? _("Copied") : _("Selected"));
    }
  });
  const open = () => new Set([...document.querySelectorAll("details[open][data-key]")].map((one) => one.dataset.key));
  let before = "";
  const refresh = async () => {
    try {
      const answer = await fetch(location.pathname, { cache: "no-store" });
      const text = answer.ok ? await answer.text() : "";
      const main = new DOMParser().parseFromString(text, "text/html").querySelector("main");
      if (main && before && before !== main.innerHTML && !main.contains(document.activeElement)) {
        const kept = open();
        document.querySelector("main").innerHTML = main.innerHTML;
        for (const one of document.querySelectorAll("details[data-key]")) one.open = kept.has(one.dataset.key);
        show();
      }
      if (main) before = main.innerHTML;
    } catch {
      return; // the server has ended: the page stays as it is
    }
  };
  show();
  addEventListener("hashchange", show);
  if (location.protocol === "http:") setInterval(refresh, 3000);
})();
