// Clicks on suspects make a label_patches.csv; its text is on the page for viewers that forbid downloads.
(() => {
  const holder = document.getElementById("suspects-patches");
  if (!holder) return;
  const data = JSON.parse(document.getElementById("suspects-data").textContent);
  const area = document.getElementById("suspects-csv");
  const chosen = new Set();
  const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const line = (row) => row.map(quoted).join(",");

  function show() {
    const rows = [...chosen].sort((a, b) => a - b).map((number) => data.rows[number]);
    area.value = rows.length ? `${[data.columns, ...rows].map(line).join("\n")}\n` : "";
    document.getElementById("suspects-count").textContent = rows.length === 1 ? _("1 row") : rows.length ? _("{n} rows", { n: rows.length }) : _("no rows");
    document.getElementById("suspects-save").disabled = !rows.length;
  }

  function select() {
    area.focus();
    area.select();
  }

  for (const button of document.querySelectorAll("button[data-suspect]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const number = Number(button.dataset.suspect);
      if (!chosen.delete(number)) chosen.add(number);
      button.setAttribute("aria-pressed", String(chosen.has(number)));
      show();
    });
  }
  document.getElementById("suspects-select").addEventListener("click", select);
  document.getElementById("suspects-save").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([area.value], { type: "text/csv" }));
    link.download = "label_patches.csv";
    link.click();
    URL.revokeObjectURL(link.href);
    select();
  });
  holder.hidden = false;
  show();
})();
