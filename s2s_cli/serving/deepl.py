"""The interface of DeepL, version 2, as far as a model of one's own can answer it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from starlette.requests import Request

from s2s_cli.errors import printable
from s2s_cli.serving.fields import Fields, read_fields
from s2s_cli.serving.languages import name_of
from s2s_cli.serving.limits import Refused
from s2s_cli.serving.service import Service
from s2s_cli.serving.texts import Wish

MOST_TEXTS = 50
NO_LIMIT = 1_000_000_000_000
"""What DeepL tells where characters are not limited."""
VARIANTS = {"en": ("EN-GB", "EN-US"), "pt": ("PT-BR", "PT-PT")}
"""Targets that DeepL has in variants; its client refuses the plain code."""
SPLITS = {"0": "long", "1": "", "nonewlines": ""}
UNSUPPORTED = ("glossary_id", "style_id", "custom_instructions")


def spelled(code: str) -> str:
    """A language as DeepL writes it: `PT-BR` of `pt_BR`."""
    return code.replace("_", "-").upper()


def variants(targets: Iterable[str]) -> list[tuple[str, str]]:
    """Each target as DeepL lists it, once or more, after its own code."""
    return [(code, each) for code in targets for each in VARIANTS.get(code, (spelled(code),))]


class DeepL:
    """Answers requests, each with what becomes JSON."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def translate(self, request: Request) -> Any:
        """`POST /v2/translate`."""
        service = self._service
        fields = await read_fields(request, service.limits)
        account = service.keys.account(_key(request, fields))
        texts, _ = fields.texts("text")
        if not texts or len(texts) > MOST_TEXTS:
            raise Refused(400, f"Parameter 'text' must have from 1 to {MOST_TEXTS} texts")
        target = fields.word("target_lang")
        wish, is_billed = self._wish(fields), fields.flag("show_billed_characters")
        if account.characters + sum(map(len, texts)) > account.most_characters:
            raise Refused(456, "Quota exceeded. The character limit has been reached.")
        with service.charged(request, account, texts):
            source = fields.word("source_lang", "auto")
            guesses = await service.guesses(texts, source, target)
            codes = [guess.language for guess in guesses] or [source] * len(texts)
            wishes = [wish._replace(pair=self._pair(code, target)) for code in codes]
            found = await service.translate(request, texts, wishes)
        translations: list[dict[str, Any]] = [
            {"detected_source_language": spelled(wish.pair[0]), "text": result[0]}
            for wish, result in zip(wishes, found, strict=True)
        ]
        if is_billed:
            for translation, text in zip(translations, texts, strict=True):
                translation["billed_characters"] = len(text)
        return {"translations": translations}

    async def languages(self, request: Request) -> Any:
        """`GET /v2/languages`."""
        fields = await read_fields(request, self._service.limits)
        self._service.keys.account(_key(request, fields))
        models = self._service.models
        if fields.choice("type", "source", ("source", "target")) == "source":
            return [{"language": spelled(code), "name": name_of(code)} for code in models.sources]
        targets = sorted({target for _, target in models.pairs})
        return [
            {"language": each, "name": name_of(code), "supports_formality": False} for code, each in variants(targets)
        ]

    async def usage(self, request: Request) -> Any:
        """`GET /v2/usage`."""
        fields = await read_fields(request, self._service.limits)
        account = self._service.keys.account(_key(request, fields))
        most = account.most_characters
        return {
            "character_count": account.characters,
            "character_limit": NO_LIMIT if most == math.inf else int(most),
        }

    def _wish(self, fields: Fields) -> Wish:
        """What is asked for, without the languages. What would have no effect is refused, but for mere preferences."""
        for name in UNSUPPORTED:
            if name in fields:
                raise Refused(400, f"Parameter '{name}' is not supported by this server")
        if fields.word("formality", "default") not in ("default", "prefer_more", "prefer_less"):
            raise Refused(400, "Parameter 'formality' is not supported for this language")
        for name in ("outline_detection", "preserve_formatting"):  # which change nothing, but are to be sound
            fields.flag(name)
        fields.word("context", "")
        form = fields.choice("tag_handling", "text", ("xml", "html", "text"))
        split = fields.choice("split_sentences", "nonewlines" if form == "html" else "1", tuple(SPLITS))
        names = {name: fields.names(name) for name in ("ignore_tags", "splitting_tags", "non_splitting_tags")}
        if form != "xml" and any(names.values()):
            raise Refused(400, "Parameters for tags need tag_handling=xml")
        return Wish(
            ("", ""),
            split=SPLITS[split],
            keeps_lines=split == "1",
            form=form,
            ignored=names["ignore_tags"],
            splitting=names["splitting_tags"] - names["non_splitting_tags"],
        )

    def _pair(self, source: str, target: str) -> tuple[str, str]:
        models = self._service.models
        known = models.spelled(source, models.sources)
        if known is None:
            raise Refused(400, f"Value for 'source_lang' not supported: {printable(source, 20)}")
        wanted = models.spelled(target, models.targets_of(known))
        if wanted is None:
            raise Refused(400, f"Value for 'target_lang' not supported: {printable(target, 20)}")
        return known, wanted


def _key(request: Request, fields: Fields) -> str | None:
    """The key of the header, or of the old field."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "deepl-auth-key" else fields.word("auth_key", "") or None
