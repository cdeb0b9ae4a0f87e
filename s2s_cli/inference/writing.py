"""Write, the last stage of translation: detokenise hypotheses, and join those of the parts of a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from s2s_cli.checkpoint.model_directory import Confidence
from s2s_cli.inference.confidence import Evidence, confidence, joined
from s2s_cli.inference.dividing import Division, Part
from s2s_cli.inference.reading import Source
from s2s_cli.inference.translation import Alignment, Candidate, Translation
from s2s_cli.search.history import Hypothesis
from s2s_cli.search.options import SearchOptions
from s2s_cli.text.hygiene import one_line
from s2s_cli.text.sentences import joins_without_space
from s2s_cli.text.tokenizer import TokenizerPair


@dataclass(frozen=True)
class Writer:
    """Detokenises hypotheses, and joins the parts of a line."""

    tokenizers: TokenizerPair
    division: Division
    calibration: Confidence | None = None
    """What gives translations their confidence."""

    def candidates(
        self, part: Part, hypotheses: Sequence[Hypothesis], *, keep_attention: bool = False
    ) -> list[Candidate]:
        """The hypotheses for one part, as text."""
        target = self.tokenizers.target
        read, source_words = self.tokenizers.source.text_pieces(part.ids)
        untold = len(part.ids) - len(self.tokenizers.source.told(part.ids))
        word_of_source = _at_all(read, source_words, len(part.ids))
        candidates = []
        for found in hypotheses:
            (pieces, words), attention_TS = target.text_pieces(found.ids), found.attention
            if attention_TS is not None and (len(read) < len(part.ids) or len(pieces) < len(found.ids)):
                attention_TS = attention_TS[pieces][:, read]
            text = one_line(target.decode(found.ids))
            candidate = Candidate(
                text=text,
                score=found.score,
                tokens=target.pieces(found.ids),
                alignment=[] if attention_TS is None else align_words(attention_TS, source_words, words),
                finished=found.finished,
                attention=found.attention if keep_attention else None,
                words=_count(words),
                evidence=Evidence(
                    log_probs=found.log_probs,
                    words=[*_at_all(pieces, words, len(found.ids)), *([-1] if found.finished else [])],
                    source_pieces=untold + 1,
                    attention_S=None if found.attention is None else found.attention[:, : len(part.ids)].sum(axis=0),
                    source_words=word_of_source,
                ),
                marks=tuple(self._marks(part, found.ids, len(text))),
                phrases=part.phrases,
            )
            candidates.append(candidate)
        return candidates

    def _marks(self, part: Part, ids: Sequence[int], end: int) -> Iterator[tuple[int, int]]:
        """The place of each span that the hypothesis has a mark for, and where in its text the mark stands."""
        target = self.tokenizers.target
        span_of = dict(zip(target.marks, part.spans, strict=False))
        for number, index in enumerate(ids):
            if index in span_of:
                yield span_of[index], min(len(one_line(target.decode(ids[:number]))), end)

    def lines(
        self, sources: Sequence[Source], candidates: Iterable[list[Candidate]], options: SearchOptions
    ) -> list[Translation]:
        """The translations of lines, from the candidates of all their parts with pieces, one after the other."""
        found = iter(candidates)
        return [
            self.line(source, [next(found) if part.ids else [] for part in source.parts], options) for source in sources
        ]

    def line(self, source: Source, candidates: Sequence[list[Candidate]], options: SearchOptions) -> Translation:
        """The translation of a line, with its protected spans, from the candidates of each of its parts, see `text_of`;
        or that of the translation memory."""
        if source.origin == "memory" and source.match:
            translation = Translation(source.line, [Candidate(text=source.match.target, score=0.0, tokens=[])])
        else:
            translation = self.text_of(source, candidates, options)
        if source.flat is not None:
            from s2s_cli.inference.protection import restored  # late: most lines have nothing to restore

            translation = restored(translation, source.flat, source.unbroken)
        if not source.origin and not source.others:
            return translation
        return replace(translation, origin=source.origin, match=source.match, others=source.others)

    def text_of(self, source: Source, candidates: Sequence[list[Candidate]], options: SearchOptions) -> Translation:
        """The translation of a line from the candidates of each of its parts (none for a part of white space).

        Words and pieces are counted over the whole line. The score of a line is the sum of those of its parts; its
        candidates are the `n_best` combinations of their candidates with the highest scores, or of samples that nothing
        ranks the first of each part, the second of each, and so on. It is finished if all its parts are.
        """
        pairs = [(part, found) for part, found in zip(source.parts, candidates, strict=True) if found]
        if not pairs:
            return Translation(source.line, truncated=source.truncated)
        pieces = self.tokenizers.source.pieces
        if len(pairs) == 1:
            ((part, found),) = pairs
            return self._rated(Translation(source.line, found, pieces(part.ids), truncated=source.truncated))
        parts = [Translation(part.text, found, pieces(part.ids)) for part, found in pairs]
        spaces = [True, *_spaces(source)]
        offsets = self._source_offsets([part for part, _ in pairs], spaces)
        joints = [self._joint(space) for space in spaces]
        lists = [found for _, found in pairs]
        if options.sampling and not options.risk:
            ranked: Sequence[Sequence[Candidate]] = list(zip(*lists, strict=True))
        else:
            ranked = best_combinations(lists, options.n_best)
        translation = Translation(
            source.line,
            [_joined(chosen, offsets, joints) for chosen in ranked],
            [token for part in parts for token in part.source_tokens],
        )
        shown = parts if any(part.attention is not None for part in parts) else []
        return self._rated(replace(translation, truncated=source.truncated, parts=shown))

    def _rated(self, translation: Translation) -> Translation:
        """With the confidence of each candidate, if the model was calibrated."""
        calibration = self.calibration
        if calibration is None:
            return translation
        rated = [replace(each, confidence=confidence(calibration, each.evidence)) for each in translation.n_best]
        return replace(translation, n_best=rated)

    def _source_offsets(self, parts: Sequence[Part], spaces: Sequence[bool]) -> list[int]:
        """For each part, the index of its first word in the line."""
        offsets, words = [], 0
        for part, space in zip(parts, spaces, strict=True):
            offsets.append(words if space else max(words - 1, 0))
            words = offsets[-1] + _count(self.tokenizers.source.text_pieces(part.ids)[1])
        return offsets

    def _joint(self, space: bool) -> str:
        """The text between the translations of two parts. space: whether there was white space between the parts.

        In a language written with spaces, parts without a space between them are two halves of a word.
        """
        word_was_cut = not space and not joins_without_space(self.division.source)
        return "" if word_was_cut or joins_without_space(self.division.target) else " "


def best_combinations(lists: Sequence[Sequence[Candidate]], count: int) -> list[list[Candidate]]:
    """The `count` combinations of one candidate of each list with the highest sums of scores, best first.

    Each list is sorted, best first. Lists are added one by one; of the sorted combinations so far, only the i-th with
    candidates up to the (count / i)-th of the next list can be among the `count` best.
    """
    if count == 1:
        return [[candidates[0] for candidates in lists]]
    ranked: list[tuple[float, _Chain]] = [(0.0, None)]
    for candidates in lists:
        sums: list[tuple[float, _Chain]] = [
            (score + candidate.score, (chain, candidate))
            for rank, (score, chain) in enumerate(ranked, start=1)
            for candidate in candidates[: count // rank]
        ]
        ranked = sorted(sums, key=lambda each: -each[0])[:count]  # stable: of equals the earlier one
    return [_unrolled(chain) for _, chain in ranked]


_Chain = tuple["_Chain", Candidate] | None  # a linked list from its end; lists share their beginnings


def _unrolled(chain: _Chain) -> list[Candidate]:
    found = []
    while chain is not None:
        chain, candidate = chain
        found.append(candidate)
    return found[::-1]


def _spaces(source: Source) -> list[bool]:
    """For each part with pieces except the first, whether white space separates it from the one before."""
    spaces, space, begun = [], False, False
    for part in source.parts:
        space = space or part.text[:1].isspace()
        if part.ids:
            if begun:
                spaces.append(space)
            begun, space = True, False
        space = space or part.text[-1:].isspace()
    return spaces


def _joined(chosen: Sequence[Candidate], offsets: Sequence[int], joints: Sequence[str]) -> Candidate:
    """The joined candidates of the parts. offsets: of the source words. joints: the text before each candidate."""
    texts: list[str] = []
    alignment: Alignment = []
    evidence: list[tuple[Evidence, int, int]] = []
    marks: list[tuple[int, int]] = []
    words = length = 0
    for candidate, offset, joint in zip(chosen, offsets, joints, strict=True):
        first = words if joint or not words or not candidate.words else words - 1
        alignment += [(source + offset, target + first) for source, target in candidate.alignment]
        evidence.append((candidate.evidence, offset, first))
        words = first + candidate.words if candidate.words else words
        if candidate.text:
            texts += [joint if texts else "", candidate.text]
            length += len(texts[-2])
        marks += [(place, length + at) for place, at in candidate.marks]
        length += len(candidate.text)
    return Candidate(
        text="".join(texts),
        score=sum(candidate.score for candidate in chosen),
        tokens=[token for candidate in chosen for token in candidate.tokens],
        alignment=list(dict.fromkeys(alignment)),  # the halves of a divided word may be linked twice
        finished=all(candidate.finished for candidate in chosen),
        words=words,
        evidence=joined(evidence),
        marks=tuple(marks),
        phrases=tuple(dict.fromkeys(phrase for candidate in chosen for phrase in candidate.phrases)),
    )


def align_words(attention_TS: np.ndarray, source_words: Sequence[int], target_words: Sequence[int]) -> Alignment:
    """For each target word, the source word with the greatest attention.

    attention_TS: weight of source piece s when target piece t was written; rows and columns beyond the two lists
        (end of sentence, padding) are left out.
    source_words, target_words: the word that each piece belongs to (`Tokenizer.word_indices`).

    The attention between two words is the sum over their pieces. Each target word has exactly one link (the earliest of
    equal ones), so a source word may have none or several.
    """
    if not source_words or not target_words:
        return []
    S, T = len(source_words), len(target_words)
    per_word = _membership(target_words).T @ attention_TS[:T, :S] @ _membership(source_words)  # [target, source] words
    best = per_word.argmax(axis=1).tolist()
    return [(best[target], target) for target in sorted(set(target_words))]


def _at_all(places: Sequence[int], words: Sequence[int], count: int) -> list[int]:
    """The word of each of `count` symbols, from those of the symbols in these places; -1 for the others."""
    word_of = dict(zip(places, words, strict=True))
    return [word_of.get(place, -1) for place in range(count)]


def _membership(words: Sequence[int]) -> np.ndarray:
    """[pieces, words]: 1 where the piece belongs to the word."""
    return np.equal.outer(words, np.arange(max(words) + 1)).astype(np.float32)


def _count(words: Sequence[int]) -> int:
    return max(words) + 1 if words else 0
