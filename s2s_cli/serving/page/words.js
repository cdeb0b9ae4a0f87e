// Words that belong together: under the pointer, or with the focus, a word of the translation shows those it is from.

// Where each word of the parts stands in the text; null for one that is written otherwise there.
function places(text, parts, name) {
  let cursor = 0;
  return parts.map((part) =>
    part[name].map((word) => {
      const start = word ? text.indexOf(word, cursor) : -1;
      if (start < 0) return null;
      cursor = start + word.length;
      return { start, end: cursor };
    }),
  );
}

// The text in nodes: what stands at a place becomes an element that `make` returns for it.
function pieces(text, found, make) {
  const nodes = [];
  let cursor = 0;
  for (const { start, end, ...rest } of found) {
    nodes.push(document.createTextNode(text.slice(cursor, start)), make(text.slice(start, end), rest));
    cursor = end;
  }
  nodes.push(document.createTextNode(text.slice(cursor)));
  return nodes;
}

function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

// Shows the translation in `result`, word by word; `behind` lies under the text that was typed and marks its words.
export function showWords(result, behind, text, translation, parts) {
  const sources = places(text, parts, "source_words");
  const flat = places(translation, parts, "words").flatMap((words, part) =>
    words.map((place, word) => place && { ...place, part, word }).filter(Boolean),
  );
  const mark = (part, word) => {
    const linked = parts[part].alignment.filter(([, target]) => target === word).map(([source]) => source);
    const found = [...new Set(linked)].sort((a, b) => a - b).map((source) => sources[part][source]).filter(Boolean);
    behind.replaceChildren(...pieces(text, found, (word) => element("mark", word)));
  };
  const unmark = () => behind.replaceChildren(text);
  result.replaceChildren(
    ...pieces(translation, flat, (shown, { part, word }) => {
      const span = element("span", shown);
      span.className = "word";
      const linked = parts[part].alignment.filter(([, t]) => t === word).map(([s]) => parts[part].source_words[s]);
      span.title = linked.length ? `from: ${linked.join(" ")}` : "from no word";
      span.addEventListener("pointerenter", () => mark(part, word));
      span.addEventListener("pointerleave", unmark);
      return span;
    }),
  );
  let at = -1;
  result.onkeydown = (event) => {
    const spans = [...result.querySelectorAll(".word")];
    if (!spans.length || !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    event.preventDefault();
    at = Math.min(spans.length - 1, Math.max(0, at + (event.key === "ArrowRight" ? 1 : -1)));
    result.querySelectorAll("mark").forEach((old) => old.replaceWith(old.firstChild));
    const chosen = spans[at];
    const marked = element("mark", "");
    marked.append(...chosen.childNodes);
    chosen.append(marked);
    mark(flat[at].part, flat[at].word);
    result.dispatchEvent(new CustomEvent("told", { detail: `${chosen.textContent}, ${chosen.title}` }));
  };
  result.onblur = () => {
    result.querySelectorAll("mark").forEach((old) => old.replaceWith(old.firstChild));
    at = -1;
    unmark();
  };
  unmark();
}
