// The search as a tree: each step is a column, what was kept is a box with a line to what it continues.

const WIDTH = 118, HEIGHT = 30, BOX = 84, SVG = "http://www.w3.org/2000/svg";
const shown = (piece) => (piece === "</s>" ? "END" : piece.replaceAll("▁", " ").trim() || "▁");
const percent = (logProb) => {
  const share = 100 * Math.exp(logProb);
  return share >= 0.1 ? `${share.toFixed(1)} %` : `${share.toExponential(0)} %`;
};

// The candidates of each step with their places and the one that each continues.
function layout(steps) {
  let before = [{ x: 0, y: 0, text: "", path: new Set() }];
  return steps.map((step, column) => {
    const nodes = step.map((each, row) => {
      const parent = before[each.origin];
      const node = { ...each, parent, x: (column + 1) * WIDTH, y: row * HEIGHT };
      node.text = (parent?.text ?? "") + (each.ended ? "" : each.piece);
      return node;
    });
    before = nodes.filter((node) => node.kept && !node.ended);
    return nodes;
  });
}

// The nodes that lead to the best of those that ended, as the search ranks: the translation.
function bestPath(columns, tokens) {
  const path = new Set();
  const text = tokens.join("");
  const tip = columns.flat().find((node) => node.ended && node.kept && node.text === text);
  for (let node = tip; node && node.piece; node = node.parent) path.add(node);
  return path;
}

function draw(tag, attributes, parent) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  parent.append(made);
  return made;
}

export class Tree {
  constructor({ picture, slider, back, forth, told, table }) {
    Object.assign(this, { picture, slider, told, table });
    slider.addEventListener("input", () => this.show());
    back.addEventListener("click", () => this.move(-1));
    forth.addEventListener("click", () => this.move(1));
  }

  // Another sentence.
  set(part) {
    this.columns = layout(part.steps);
    this.best = bestPath(this.columns, part.tokens);
    this.slider.max = part.steps.length;
    this.slider.value = 1;
    this.show();
  }

  move(by) {
    this.slider.value = Number(this.slider.value) + by;
    this.show();
  }

  show() {
    const until = Number(this.slider.value);
    const now = this.columns[until - 1];
    if (!now) {
      this.told.textContent = "A search that must write the terms of a glossary tells no steps.";
      this.picture.replaceChildren();
      this.table.tBodies[0]?.remove();
      return;
    }
    const kept = now.filter((node) => node.kept).length;
    this.told.textContent = `Step ${until} of ${this.columns.length}: ${kept} kept, and the best ${now.length - kept} that were dropped`;
    this.slider.setAttribute("aria-valuetext", this.told.textContent);
    this.drawTree(until);
    this.fill(now);
  }

  drawTree(until) {
    const columns = this.columns.slice(0, until);
    const rows = Math.max(...columns.map((nodes) => nodes.length));
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("width", (until + 1) * WIDTH);
    svg.setAttribute("height", rows * HEIGHT + 4);
    svg.setAttribute("aria-hidden", "true");
    for (const nodes of columns) {
      for (const node of nodes) {
        const { x, y } = node.parent ?? { x: 0, y: 0 };
        const start = x + (x ? BOX : WIDTH - 30), middle = (start + node.x) / 2;
        const line = `M${start} ${y + 13} C${middle} ${y + 13} ${middle} ${node.y + 13} ${node.x} ${node.y + 13}`;
        draw("path", { d: line, class: node.kept ? "" : "dropped" }, svg);
      }
    }
    for (const nodes of columns) {
      for (const node of nodes) {
        const names = [node.kept ? "kept" : "dropped", node.ended ? "ended" : "", this.best.has(node) ? "best" : ""];
        const group = draw("g", { class: names.join(" ").trim() }, svg);
        draw("rect", { x: node.x, y: node.y + 2, width: BOX, height: HEIGHT - 8, rx: 4 }, group);
        const text = draw("text", { x: node.x + 5, y: node.y + 17 }, group);
        text.textContent = shown(node.piece).slice(0, 11);
        draw("title", {}, group).textContent = `${node.text.replaceAll("▁", " ").trim()}: ${percent(node.log_prob)}`;
      }
    }
    this.picture.replaceChildren(svg);
    this.picture.scrollLeft = this.picture.scrollWidth;
  }

  fill(nodes) {
    const body = document.createElement("tbody");
    const head = body.insertRow();
    for (const name of ["Beginning", "Next piece", "Of the piece", "Of the whole", "Fate"]) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = name;
      head.append(cell);
    }
    for (const node of nodes) {
      const row = body.insertRow();
      row.className = node.kept ? "kept" : "dropped";
      const fate = node.kept ? (node.ended ? "finished" : "kept") : "dropped";
      const start = (node.parent?.text ?? "").replaceAll("▁", " ").trim();
      for (const value of [start || "–", shown(node.piece), percent(node.symbol_log_prob), percent(node.log_prob), fate])
        row.insertCell().textContent = value;
    }
    this.table.tBodies[0]?.remove();
    this.table.append(body);
  }
}
