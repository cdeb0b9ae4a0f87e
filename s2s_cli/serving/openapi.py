"""The description of the interfaces in the form of OpenAPI 3.1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from s2s_cli import __version__
from s2s_cli.serving.deepl import MOST_TEXTS, SPLITS, spelled, variants
from s2s_cli.serving.service import Service

STRING: dict[str, Any] = {"type": "string"}
STRINGS: dict[str, Any] = {"type": "array", "items": STRING}
ONE_OR_MORE: dict[str, Any] = {"oneOf": [STRING, STRINGS]}
ERRORS = {"error": STRING}
MESSAGES = {"message": STRING}
NOTHING: dict[str, Any] = {"enum": ["", None]}
"""What stands for a field that is not given."""


def _optional(schema: dict[str, Any], *others: str) -> dict[str, Any]:
    """A field that may be left out. others: strings that are taken too. What a reader is told stands first."""
    return {"anyOf": [schema, {"enum": [*others, *NOTHING["enum"]]}]}


def _choice(*values: str) -> dict[str, Any]:
    return _optional(STRING | {"enum": [*values]})


KEY = {"api_key": _optional(STRING)}
FLAG = _optional({"type": "boolean"}, "true", "false", "1", "0")


def document(service: Service) -> dict[str, Any]:
    """All paths that programs may ask."""
    listed = {"type": "array", "items": {"type": "object"}}
    kind = {"name": "type", "in": "query", "schema": {"enum": ["source", "target", ""]}}
    guess = _object({"confidence": {"type": "number"}, "language": STRING})
    answer = {"translatedText": ONE_OR_MORE, "detectedLanguage": {}, "alternatives": {"type": "array"}}
    three, any_source = ["q", "source", "target"], {"auto": _targets(service)}
    translated = _post("Translate", _translate(service), three, _object(answer), ERRORS, _pairs(service, any_source))
    paths = {
        "/translate": {"post": translated},
        "/detect": {"post": _post("Detect the language", _texts(service) | KEY, ["q"], _list(guess), ERRORS)},
        "/languages": {"get": _get("Languages and their targets", listed)},
        "/frontend/settings": {"get": _get("Settings for a page", {"type": "object"})},
        "/health": {"get": _get("Whether the server is there", _object({"status": STRING}))},
        "/v2/translate": {
            "post": _post(
                "Translate (DeepL)",
                _deepl(service),
                ["text", "target_lang"],
                _object({"translations": listed}),
                MESSAGES,
                {"allOf": [_deepl_pairs(service), _TAGS_OF_XML]},
            )
        },
        "/v2/languages": {
            "get": _get("Languages (DeepL)", listed, [kind], error=MESSAGES),
            "post": _post("Languages (DeepL)", {"type": _choice("source", "target")}, [], listed, MESSAGES),
        },
        "/v2/usage": {
            "get": _get("Characters so far (DeepL)", {"type": "object"}, error=MESSAGES),
            "post": _post("Characters so far (DeepL)", {}, [], {"type": "object"}, MESSAGES),
        },
        "/api/explain": {
            "post": _post(
                "How a text is translated",
                _explain(service),
                three,
                _object({"parts": listed}),
                ERRORS,
                _pairs(service, {}),
            )
        },
        "/metrics": {"get": _get("Metrics for Prometheus", STRING, media="text/plain")},
        "/openapi.json": {"get": _get("This description", {"type": "object"})},
    }
    summary = "Machine translation: the APIs of LibreTranslate and DeepL"
    scheme = {"DeepL": {"type": "apiKey", "in": "header", "name": "Authorization"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "s2s", "version": __version__, "summary": summary},
        "paths": paths,
        "components": {"securitySchemes": scheme},
    }


def _targets(service: Service) -> list[str]:
    return sorted({target for _, target in service.models.pairs})


def _pairs(service: Service, others: dict[str, list[str]]) -> dict[str, Any]:
    """Which sources go with which targets. others: those that are more than languages."""
    targets = {source: service.models.targets_of(source) for source in service.models.sources} | others
    return _either("source", "target", targets)


def _deepl_pairs(service: Service) -> dict[str, Any]:
    models = service.models
    targets: dict[Any, list[str]] = dict.fromkeys(["auto", "", None], _variants(_targets(service)))
    targets |= {spelled(source): _variants(models.targets_of(source)) for source in models.sources}
    return _either("source_lang", "target_lang", targets)


def _either(source: str, target: str, targets: Mapping[Any, list[str]]) -> dict[str, Any]:
    pairs = [{source: {"enum": [code]}, target: {"enum": codes}} for code, codes in targets.items()]
    return {"anyOf": [{"properties": pair} for pair in pairs]}


def _variants(targets: Sequence[str]) -> list[str]:
    return [code for _, code in variants(targets)]


_TAGS = ("ignore_tags", "splitting_tags", "non_splitting_tags")
_TAGS_OF_XML = {
    "anyOf": [
        {"properties": {"tag_handling": {"enum": ["xml"]}}, "required": ["tag_handling"]},
        {"properties": {name: {"enum": [[], "", None]} for name in _TAGS}},
    ]
}


def _texts(service: Service) -> dict[str, Any]:
    return {"q": {"oneOf": [STRING, STRINGS | {"maxItems": service.limits.texts}]}}


def _translate(service: Service) -> dict[str, Any]:
    limits = service.limits
    number = {"type": "integer", "minimum": 0, "maximum": limits.alternatives}
    as_text = map(str, range(min(limits.alternatives, 100) + 1))
    options = {
        "source": STRING | {"enum": ["auto", *service.models.sources]},
        "target": STRING | {"enum": _targets(service)},
        "format": _choice("text", "html") | {"default": "text"},
        "alternatives": _optional(number, *as_text) | {"default": 0},
    }
    return _texts(service) | options | KEY


def _explain(service: Service) -> dict[str, Any]:
    languages = {"source": STRING | {"enum": service.models.sources}, "target": STRING | {"enum": _targets(service)}}
    return _texts(service) | languages | KEY


def _deepl(service: Service) -> dict[str, Any]:
    return {
        "text": {"oneOf": [STRINGS | {"minItems": 1, "maxItems": MOST_TEXTS}, STRING]},
        "target_lang": STRING | {"enum": _variants(_targets(service))},
        "source_lang": _choice(*(spelled(code) for code in service.models.sources), "auto"),
        "split_sentences": _choice(*SPLITS),
        "tag_handling": _choice("xml", "html", "text"),
        **{name: {"anyOf": [STRINGS, STRING, NOTHING]} for name in _TAGS},
        "outline_detection": FLAG,
        "preserve_formatting": FLAG,
        "formality": _choice("default", "prefer_more", "prefer_less"),
        "context": _optional(STRING),
        "show_billed_characters": FLAG,
        "auth_key": _optional(STRING),
    }


def _object(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    return {"type": "object", "properties": properties} | ({"required": required} if required else {})


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _get(
    summary: str,
    schema: dict[str, Any],
    parameters: list[Any] | None = None,
    *,
    media: str = "application/json",
    error: dict[str, Any] = ERRORS,
) -> dict[str, Any]:
    known = {"200": {"description": "Done", "content": {media: {"schema": schema}}}}
    return {"summary": summary, "parameters": parameters or [], "responses": known | _failures(error)}


def _post(
    summary: str,
    fields: dict[str, Any],
    required: list[str],
    answer: dict[str, Any],
    error: dict[str, Any],
    rules: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """rules: on several fields."""
    as_form = {name: _written(schema, is_needed=name in required) for name, schema in fields.items()}
    contents = {"application/json": fields, "application/x-www-form-urlencoded": as_form}
    return {
        "summary": summary,
        "requestBody": {
            "required": bool(required),
            "content": {kind: {"schema": _object(each, required) | (rules or {})} for kind, each in contents.items()},
        },
        "responses": {"200": {"description": "Done", "content": {"application/json": {"schema": answer}}}}
        | _failures(error),
    }


def _written(schema: dict[str, Any], *, is_needed: bool) -> dict[str, Any]:
    """The same of a form, where there is no null, and a list without anything is not there."""
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return schema | {several: [_written(each, is_needed=is_needed) for each in schema[several]]}
    if None in schema.get("enum", ()):
        return schema | {"enum": [value for value in schema["enum"] if value is not None]}
    return schema | {"minItems": 1} if is_needed and schema.get("type") == "array" else schema


def _failures(error: dict[str, Any]) -> dict[str, Any]:
    return {"default": {"description": "Refused", "content": {"application/json": {"schema": _object(error)}}}}
