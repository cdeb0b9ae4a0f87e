"""How a part was translated: its pieces, the attention, the alignment, and the search step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from s2s_cli.inference.dividing import Part
from s2s_cli.inference.translator import Translator
from s2s_cli.search.guidance import Admitting
from s2s_cli.search.options import SearchOptions
from s2s_cli.search.watching import Continuation, Watched, watched_beam_search
from s2s_cli.text.tokenizer import EOS, SYMBOLS, WORD_START, Tokenizer

MOST_SHOWN = 12
"""Continuations of a step that are told: all that were kept, and the best of the others."""


def explained(translator: Translator, part: Part, options: SearchOptions) -> dict[str, Any]:
    """The explanation, as JSON has it. `steps` has for each step what there was to choose from; `origin` is the place
    among those of the step before that were kept and did not end. A search that meets a demand ranks hypotheses by what
    they have of it too, and tells no steps."""
    source, target = translator.tokenizers.source, translator.tokenizers.target
    steps: Watched = []
    if part.demand is None and part.again is None:
        model = Admitting(translator.model, [part.told])
        found, steps = watched_beam_search(model, [*part.ids, EOS], options)
    else:
        [found] = translator.search([part], options)
    best = found[0]
    [candidate] = translator.writer.candidates(part, [best])
    attention = best.attention
    return {
        "source": part.text.strip(),
        "source_tokens": [*source.pieces(part.ids), SYMBOLS[EOS]],
        "source_words": _words(source, part.ids),
        "text": candidate.text,
        "tokens": target.pieces(best.ids),
        "words": _words(target, best.ids),
        "score": round(best.score, 4),
        "alignment": candidate.alignment,
        "attention": None if attention is None else [[round(float(x), 4) for x in row] for row in attention],
        "steps": [_step(step, target) for step in steps],
    }


def _step(step: Sequence[Continuation], target: Tokenizer) -> list[dict[str, Any]]:
    shown = [each for rank, each in enumerate(step) if each.kept or rank < MOST_SHOWN]
    return [
        {
            "origin": each.origin,
            "piece": SYMBOLS[EOS] if each.symbol == EOS else target.pieces([each.symbol])[0],
            "log_prob": round(each.log_prob, 4),
            "symbol_log_prob": round(each.symbol_log_prob, 4),
            "kept": each.kept,
            "ended": each.symbol == EOS,
        }
        for each in shown
    ]


def _words(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """The words as the alignment counts them; marks of protected spans and what is told of terms belong to none."""
    words: dict[int, list[str]] = {}
    pieces, told = tokenizer.pieces(ids), tokenizer.told(ids)
    for place, word in zip(*tokenizer.text_pieces(ids), strict=True):
        if place not in told:
            words.setdefault(word, []).append(pieces[place])
    return [tokenizer.spelled(word).replace(WORD_START, " ").strip() for word in words.values()]
