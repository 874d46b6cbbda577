// CSV as Python's csv module reads and writes it: commas, quotes doubled.
const Csv = {
  cell(text) {
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  },

  write(rows) {
    return rows.map((row) => row.map(Csv.cell).join(",") + "\n").join("");
  },

  // Rows of cells; blank lines are skipped. Throws if a quote is not closed.
  read(text) {
    const rows = [];
    let row = [];
    let cell = "";
    let quoted = false;
    const end = () => { row.push(cell); cell = ""; };
    const line = () => { end(); if (row.some((one) => one)) rows.push(row); row = []; };
    const signs = text.replace(/^\uFEFF/, "").replaceAll("\r\n", "\n").replaceAll("\r", "\n");
    for (let k = 0; k < signs.length; k += 1) {
      const sign = signs[k];
      if (quoted && sign === '"' && signs[k + 1] === '"') { cell += '"'; k += 1; }
      else if (quoted && sign === '"') quoted = false;
      else if (quoted) cell += sign;
      else if (sign === '"' && cell === "") quoted = true;
      else if (sign === ",") end();
      else if (sign === "\n") line();
      else cell += sign;
    }
    if (quoted) throw new Error("a quote is not closed");
    if (cell || row.length) line();
    return rows;
  },
};
