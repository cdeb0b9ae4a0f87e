// The attention as a table: what is seen is also what a screen reader reads.

const shown = (piece) => piece.replaceAll("▁", " ").trim() || "▁";

export function heatmap(part) {
  if (!part.attention) {
    const note = document.createElement("p");
    note.textContent = "This model has no attention.";
    return note;
  }
  const table = document.createElement("table");
  table.className = "heat";
  const head = table.createTHead().insertRow();
  head.append(document.createElement("td"));
  for (const piece of part.source_tokens) head.append(header(piece, "col"));
  const body = table.createTBody();
  part.attention.forEach((weights, index) => {
    const row = body.insertRow();
    row.append(header(part.tokens[index], "row"));
    const most = Math.max(...weights);
    weights.forEach((weight, source) => {
      const cell = row.insertCell();
      cell.style.setProperty("--weight", weight.toFixed(3));
      cell.textContent = weight >= 0.05 ? Math.round(100 * weight) : "";
      cell.title = `${shown(part.tokens[index])} ← ${shown(part.source_tokens[source])}: ${(100 * weight).toFixed(1)} %`;
      cell.classList.toggle("strong", weight > 0.55);
      cell.classList.toggle("chosen", weight === most);
    });
  });
  return table;
}

function header(piece, scope) {
  const cell = document.createElement("th");
  cell.scope = scope;
  const text = document.createElement("span");
  text.textContent = shown(piece);
  cell.append(text);
  return cell;
}
