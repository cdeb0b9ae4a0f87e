// The description of the API, written out.

const made = (tag, text = "") => Object.assign(document.createElement(tag), { textContent: text });

function kind(schema) {
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.oneOf) return schema.oneOf.map(kind).join(" or ");
  if (schema.anyOf) return kind(schema.anyOf[0]); // the others are taken too
  return schema.type === "array" && schema.items ? `list of ${kind(schema.items)}` : (schema.type ?? "any");
}

function table(caption, properties, required = []) {
  const shown = made("table");
  shown.className = "fields";
  shown.append(made("caption", caption));
  for (const [name, schema] of Object.entries(properties)) {
    const row = shown.insertRow();
    const head = made("th", name + (required.includes(name) ? " *" : ""));
    head.scope = "row";
    const fallback = schema.default === undefined ? "" : `default ${schema.default}`;
    row.append(head, made("td", kind(schema)), made("td", [schema.description, fallback].filter(Boolean).join(" ")));
  }
  return shown;
}

function operation(path, method, { summary, requestBody, parameters = [] }) {
  const section = made("section");
  section.append(made("h2", `${method.toUpperCase()} ${path}`), made("p", summary));
  const query = Object.fromEntries(parameters.map(({ name, schema }) => [name, schema]));
  if (parameters.length) section.append(table("Query", query));
  if (requestBody) {
    const { properties, required = [] } = requestBody.content["application/json"].schema;
    section.append(table("Fields, as JSON or as a form (* needed)", properties, required));
    const fields = required.map((name) => `-d ${name}=…`).join(" ");
    section.append(made("pre", `curl ${fields} ${location.origin}${path}`));
  } else {
    section.append(made("pre", `curl ${location.origin}${path}`));
  }
  return section;
}

const { paths } = await (await fetch("/openapi.json")).json();
document.getElementById("paths").replaceChildren(
  ...Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, described]) => operation(path, method, described)),
  ),
);
