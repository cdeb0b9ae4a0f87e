"""The interface of LibreTranslate 1.9, as its documentation and its server have it."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from s2s_cli.errors import printable
from s2s_cli.serving.fields import Fields, read_fields
from s2s_cli.serving.languages import Guess, name_of
from s2s_cli.serving.limits import Refused
from s2s_cli.serving.service import Service
from s2s_cli.serving.texts import Wish


class LibreTranslate:
    """Answers requests, each with what becomes JSON."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def translate(self, request: Request) -> Any:
        """`POST /translate`."""
        service = self._service
        fields = await read_fields(request, service.limits)
        account = service.keys.account(_key(fields))
        texts, is_list = fields.texts("q")
        source, target = fields.word("source"), fields.word("target")
        form = fields.choice("format", "text", ("text", "html"))
        alternatives = fields.number("alternatives", 0, service.limits.alternatives)
        with service.charged(request, account, texts):
            guesses = await service.guesses(texts, source, target)
            codes = [guess.language for guess in guesses] or [source] * len(texts)
            wishes = [Wish(self._pair(code, target), n_best=1 + alternatives, form=form) for code in codes]
            found = await service.translate(request, texts, wishes)
        answer: dict[str, Any] = {"translatedText": _one_or_all([each[0] for each in found], is_list)}
        if guesses:
            answer["detectedLanguage"] = _one_or_all([_guess(each) for each in guesses], is_list)
        if alternatives:
            answer["alternatives"] = _one_or_all([each[1:] for each in found], is_list)
        return answer

    async def detect(self, request: Request) -> Any:
        """`POST /detect`."""
        fields = await read_fields(request, self._service.limits)
        account = self._service.keys.account(_key(fields))
        texts, _ = fields.texts("q")
        with self._service.charged(request, account, texts):
            return [_guess(guess) for guess in await self._service.detector.guesses("\n".join(texts))]

    async def languages(self, request: Request) -> Any:
        """`GET /languages`."""
        models = self._service.models
        return [{"code": code, "name": name_of(code), "targets": models.targets_of(code)} for code in models.sources]

    async def settings(self, request: Request) -> Any:
        """`GET /frontend/settings`."""
        service = self._service
        source, target = service.models.pairs[0]
        return {
            "charLimit": service.limits.characters,
            "frontendTimeout": 500,
            "apiKeys": service.keys.required,
            "keyRequired": service.keys.required,
            "suggestions": False,
            "filesTranslation": False,
            "supportedFilesFormat": [],
            "language": {
                "source": {"code": source, "name": name_of(source)},
                "target": {"code": target, "name": name_of(target)},
            },
        }

    def _pair(self, source: str, target: str) -> tuple[str, str]:
        """The pair that is meant. Raises Refused if it is not served."""
        models = self._service.models
        known = models.spelled(source, models.languages)
        if known is None:
            raise Refused(400, f"{printable(source, 20)} is not supported")
        wanted = models.spelled(target, models.languages)
        if wanted is None:
            raise Refused(400, f"{printable(target, 20)} is not supported")
        if (known, wanted) not in models.numbers:
            names = [f"{name_of(code)} ({code})" for code in (wanted, known)]
            raise Refused(400, f"{names[0]} is not available as a target language from {names[1]}")
        return known, wanted


def _key(fields: Fields) -> str | None:
    return fields.word("api_key", "") or None


def _guess(guess: Guess) -> dict[str, Any]:
    return {"confidence": guess.confidence, "language": guess.language}


def _one_or_all(values: list[Any], is_list: bool) -> Any:
    return values if is_list else values[0]
