"""The description of the interfaces in the form of OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

from s2s_cli import __version__
from s2s_cli.serving.deepl import VARIANTS
from s2s_cli.serving.service import Service

STRING: dict[str, Any] = {"type": "string"}
STRINGS: dict[str, Any] = {"type": "array", "items": STRING}
ONE_OR_MORE: dict[str, Any] = {"oneOf": [STRING, STRINGS]}
ERRORS = {"error": STRING}
MESSAGES = {"message": STRING}


KEY = {"api_key": STRING}


def document(service: Service) -> dict[str, Any]:
    """All paths that programs may ask."""
    listed = {"type": "array", "items": {"type": "object"}}
    kind = {"name": "type", "in": "query", "schema": {"type": "string", "enum": ["source", "target"]}}
    guess = _object({"confidence": {"type": "number"}, "language": STRING})
    answer = {"translatedText": ONE_OR_MORE, "detectedLanguage": {}, "alternatives": {"type": "array"}}
    three = ["q", "source", "target"]
    paths = {
        "/translate": {"post": _post("Translate", _translate(service), three, _object(answer), ERRORS)},
        "/detect": {"post": _post("Detect the language", {"q": ONE_OR_MORE} | KEY, ["q"], _list(guess), ERRORS)},
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
            )
        },
        "/v2/languages": {"get": _get("Languages (DeepL)", listed, [kind])},
        "/v2/usage": {"get": _get("Characters so far (DeepL)", {"type": "object"})},
        "/api/explain": {
            "post": _post("How a text is translated", _explain(service), three, _object({"parts": listed}), ERRORS)
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


def _translate(service: Service) -> dict[str, Any]:
    limits = service.limits
    return {
        "q": {"oneOf": [STRING, STRINGS | {"maxItems": limits.texts}]},
        "source": STRING | {"enum": ["auto", *service.models.sources]},
        "target": STRING | {"enum": _targets(service)},
        "format": {"type": "string", "enum": ["text", "html"], "default": "text"},
        "alternatives": {"type": "integer", "minimum": 0, "maximum": limits.alternatives, "default": 0},
    } | KEY


def _explain(service: Service) -> dict[str, Any]:
    languages = {"source": STRING | {"enum": service.models.sources}, "target": STRING | {"enum": _targets(service)}}
    return {"q": STRING} | languages | KEY


def _deepl(service: Service) -> dict[str, Any]:
    variants = [code for target in _targets(service) for code in VARIANTS.get(target, (target.upper(),))]
    return {
        "text": STRINGS | {"minItems": 1, "maxItems": 50},
        "target_lang": STRING | {"enum": variants},
        "source_lang": STRING | {"enum": [code.upper() for code in service.models.sources]},
        "split_sentences": {"type": "string", "enum": ["0", "1", "nonewlines"]},
        "tag_handling": {"type": "string", "enum": ["xml", "html"]},
        "ignore_tags": STRINGS,
        "splitting_tags": STRINGS,
        "non_splitting_tags": STRINGS,
        "outline_detection": {"type": "boolean"},
        "preserve_formatting": {"type": "boolean"},
        "formality": {"type": "string", "enum": ["default", "prefer_more", "prefer_less"]},
        "context": STRING,
        "show_billed_characters": {"type": "boolean"},
    }


def _object(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    return {"type": "object", "properties": properties} | ({"required": required} if required else {})


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _get(
    summary: str, schema: dict[str, Any], parameters: list[Any] | None = None, media: str = "application/json"
) -> dict[str, Any]:
    known = {"200": {"description": "Done", "content": {media: {"schema": schema}}}}
    return {"summary": summary, "parameters": parameters or [], "responses": known | _failures(ERRORS)}


def _post(
    summary: str, fields: dict[str, Any], required: list[str], answer: dict[str, Any], error: dict[str, Any]
) -> dict[str, Any]:
    schema = {"schema": _object(fields, required)}
    return {
        "summary": summary,
        "requestBody": {
            "required": True,
            "content": {"application/json": schema, "application/x-www-form-urlencoded": schema},
        },
        "responses": {"200": {"description": "Done", "content": {"application/json": {"schema": answer}}}}
        | _failures(error),
    }


def _failures(error: dict[str, Any]) -> dict[str, Any]:
    return {"default": {"description": "Refused", "content": {"application/json": {"schema": _object(error)}}}}
