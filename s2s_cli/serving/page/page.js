// The page: translates while somebody types, and shows how.

import { Failure, explain, languages, setKey, settings, translate } from "./requests.js";
import { heatmap } from "./heatmap.js";
import { showWords } from "./words.js";
import { Tree } from "./tree.js";

const PAUSE = 150; // milliseconds after a key until the text is translated
const at = (id) => document.getElementById(id);
const [text, result, behind, source, target] = ["text", "result", "behind", "source", "target"].map(at);
const tree = new Tree({
  picture: at("tree"), slider: at("step"), back: at("back"), forth: at("forth"), told: at("step-text"), table: at("choices"),
});

let served = [];
let limit = Infinity;
let timer = 0;
let detected = ""; // language of the text that was translated last
let running = new AbortController();

// As the server counts them: the length of a string counts some of them twice.
const characters = (string) => [...string].length;

function option(value, name) {
  const made = document.createElement("option");
  [made.value, made.textContent] = [value, name];
  return made;
}

function nameOf(code) {
  try {
    return new Intl.DisplayNames(["en"], { type: "language" }).of(code.replaceAll("_", "-"));
  } catch { // a code of its own
    return code;
  }
}

function fillTargets() {
  const before = target.value;
  const names = Object.fromEntries(served.map(({ code, name }) => [code, name]));
  const possible = source.value === "auto" ? served.flatMap(({ targets }) => targets)
    : served.find(({ code }) => code === source.value).targets;
  const codes = [...new Set(possible)];
  target.replaceChildren(...codes.map((code) => option(code, names[code] ?? nameOf(code))));
  if (codes.includes(before)) target.value = before;
}

function later() {
  clearTimeout(timer);
  running.abort();
  at("count").textContent = text.value ? `${characters(text.value)} characters` : "";
  behind.replaceChildren(text.value);
  result.classList.add("old");
  timer = setTimeout(now, PAUSE);
}

async function now() {
  const signal = (running = new AbortController()).signal;
  const typed = text.value;
  if (!typed.trim()) return clearResult();
  if (characters(typed) > limit) return fail(`At most ${limit} characters`);
  at("status").textContent = "Translating …";
  try {
    const answer = await translate(typed, source.value, target.value, signal);
    detected = answer.detectedLanguage?.language ?? source.value;
    at("detected").textContent = answer.detectedLanguage ? `Detected: ${answer.detectedLanguage.language}` : "";
    show(answer.translatedText, answer.alternatives ?? []);
    await showHow(typed, detected, answer.translatedText, signal);
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Failure)) console.error(error);
    fail(error.message);
  }
}

// The translation stays where its explanation fails: the server may be busy, or the key used up for this minute.
async function showHow(typed, from, translation, signal) {
  try {
    const { parts } = await explain(typed, from, target.value, signal);
    showWords(result, behind, typed, translation, parts);
    showInside(parts);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    showInside([]);
    at("status").textContent = `No explanation: ${error.message}`;
  }
}

function show(translation, others) {
  result.classList.remove("old", "failed");
  result.replaceChildren(translation);
  result.lang = target.value;
  at("status").textContent = "";
  at("copy").disabled = false;
  at("others").hidden = !others.length;
  at("alternatives").replaceChildren(
    ...others.map((other) => {
      const item = document.createElement("li");
      const copying = document.createElement("button");
      copying.type = "button";
      copying.textContent = "Copy";
      copying.setAttribute("aria-label", `Copy: ${other}`);
      copying.addEventListener("click", () => copy(other));
      const shown = document.createElement("span");
      [shown.textContent, shown.lang] = [other, target.value];
      item.append(shown, copying);
      return item;
    }),
  );
}

function showInside(parts) {
  at("inside").hidden = !parts.length;
  const buttons = parts.map((part, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `${index + 1}. ${part.source.slice(0, 30)}${part.source.length > 30 ? "…" : ""}`;
    button.addEventListener("click", () => choose(index));
    return button;
  });
  const choose = (index) => {
    buttons.forEach((button, other) => button.setAttribute("aria-pressed", String(other === index)));
    at("heatmap").replaceChildren(heatmap(parts[index]));
    tree.set(parts[index]);
  };
  at("sentences").replaceChildren(...buttons);
  at("sentences").hidden = parts.length < 2;
  if (parts.length) choose(0);
}

function clearResult() {
  result.classList.remove("old", "failed");
  result.replaceChildren();
  for (const id of ["others", "inside"]) at(id).hidden = true;
  at("status").textContent = at("detected").textContent = "";
  at("copy").disabled = true;
}

function fail(message) {
  clearResult();
  result.classList.add("failed");
  result.replaceChildren(message);
}

async function copy(words) {
  try {
    await navigator.clipboard.writeText(words);
    at("status").textContent = "Copied";
  } catch {
    at("status").textContent = "The browser does not let the page copy";
  }
}

function swap() {
  const [from, to] = [source.value === "auto" ? detected : source.value, target.value];
  const back = served.find(({ code, targets }) => code === to && targets.includes(from));
  if (!back) {
    at("status").textContent = "No model translates the other way";
    return;
  }
  const translation = at("copy").disabled ? "" : result.textContent;
  source.value = to;
  fillTargets();
  target.value = from;
  text.value = translation || text.value;
  later();
}

async function start() {
  const [found, known] = await Promise.all([languages(), settings()]);
  served = found;
  limit = known.charLimit;
  at("key-row").hidden = !known.keyRequired;
  const automatic = served.length > 1 ? [option("auto", "Detect language")] : [];
  source.replaceChildren(...automatic, ...served.map(({ code, name }) => option(code, name)));
  source.value = known.language.source.code;
  fillTargets();
  if (text.value) later();
}

text.addEventListener("input", later);
text.addEventListener("scroll", () => (behind.scrollTop = text.scrollTop));
source.addEventListener("change", () => (fillTargets(), later()));
target.addEventListener("change", later);
result.addEventListener("told", ({ detail }) => (at("status").textContent = detail));
at("key").addEventListener("change", ({ target: field }) => (setKey(field.value), later()));
at("copy").addEventListener("click", () => copy(result.textContent));
at("swap").addEventListener("click", swap);
at("clear").addEventListener("click", () => ((text.value = ""), later(), text.focus()));
document.addEventListener("keydown", (event) => event.altKey && event.key === "s" && (event.preventDefault(), swap()));
start().catch((error) => fail(error.message));
