// Clicks below images with far-off values make a verdicts.csv; its text is on the page for viewers that forbid downloads.
(() => {
  const holder = document.getElementById("verdicts");
  if (!holder) return;
  const data = JSON.parse(document.getElementById("value-verdicts").textContent);
  const area = document.getElementById("verdicts-csv");
  const chosen = new Map();

  function show() {
    const rows = [...chosen.keys()].sort((a, b) => a - b).map((k) => [...data.rows[k], chosen.get(k)]);
    area.value = rows.length ? Csv.write([data.columns, ...rows]) : "";
    document.getElementById("verdicts-count").textContent = rows.length === 1 ? _("1 verdict") : rows.length ? _("{n} verdicts", { n: rows.length }) : _("no verdicts");
    document.getElementById("verdicts-save").disabled = !rows.length;
  }

  for (const button of document.querySelectorAll("button[data-verdict]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const at = Number(button.dataset.card);
      const kind = button.dataset.verdict;
      if (chosen.get(at) === kind) chosen.delete(at); else chosen.set(at, kind);
      for (const other of document.querySelectorAll(`button[data-card="${at}"]`)) {
        other.setAttribute("aria-pressed", String(chosen.get(at) === other.dataset.verdict));
      }
      show();
    });
  }
  document.getElementById("verdicts-select").addEventListener("click", () => { area.focus(); area.select(); });
  document.getElementById("verdicts-save").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([area.value], { type: "text/csv" }));
    link.download = "verdicts.csv";
    link.click();
    URL.revokeObjectURL(link.href);
  });
  holder.hidden = false;
  show();
})();
