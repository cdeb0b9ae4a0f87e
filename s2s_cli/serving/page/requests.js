// What the page asks the server.

let key = "";

export function setKey(value) {
  key = value;
}

export class Failure extends Error {}

async function ask(path, fields, signal) {
  const options = fields && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(key ? { ...fields, api_key: key } : fields),
    signal,
  };
  let response;
  try {
    response = await fetch(path, options || { signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The server cannot be reached");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Failure(answer.error || `The server answered ${response.status}`);
  return answer;
}

export const languages = () => ask("/languages");
export const settings = () => ask("/frontend/settings");
export const translate = (q, source, target, signal) =>
  ask("/translate", { q, source, target, alternatives: 3 }, signal);
export const explain = (q, source, target, signal) => ask("/api/explain", { q, source, target }, signal);
