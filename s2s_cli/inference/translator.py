"""Translation of lists of lines with one model or an ensemble."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch

from s2s_cli import console
from s2s_cli.data.batches import padded
from s2s_cli.errors import DataError
from s2s_cli.inference.alignment import align_words
from s2s_cli.inference.batching import token_batches
from s2s_cli.inference.loading import load_ensemble
from s2s_cli.inference.translation import Candidate, LinesLost, Scored, Translation
from s2s_cli.processes import JobLost, WorkerPool
from s2s_cli.search.beam import beam_search
from s2s_cli.search.greedy import greedy_search
from s2s_cli.search.history import Hypothesis
from s2s_cli.search.options import SearchOptions
from s2s_cli.search.scoring import forced_log_probs
from s2s_cli.search.step_model import StepModel
from s2s_cli.text.hygiene import clean_line, one_line
from s2s_cli.text.tokenizer import Tokenizer, TokenizerPair

CHARACTERS_PER_PIECE = 32  # no tokenizer comes near it on real text, so a line is cut there before anything costly
LEAST_SHARE = 800  # source tokens of a batch: smaller ones are slower to multiply
STEP_SCORES = 1 << 24  # most log-probabilities of one step (sentences × beam × vocabulary): 64 MiB


class Translator:
    """Lines in, translations out, by one search over one model or an ensemble.

    >>> translator = Translator.load("runs/quickstart")
    >>> translator.translate(["Où est la gare ?"])[0].text
    'Where is the station?'

    Threads may share a translator: their calls take turns. Used as a context, or closed, it leaves no worker behind.
    """

    def __init__(
        self,
        model: StepModel,
        tokenizers: TokenizerPair,
        *,
        options: SearchOptions | None = None,
        max_pieces: int = 100,
        batch_tokens: int = 4000,
        device: torch.device | str = "cpu",
        workers: int = 1,
    ) -> None:
        """Usually made by `load`.

        options: the search where a call names none. max_pieces: a longer source is cut there. batch_tokens: most source
        tokens of a batch, padding included, where a call does not say. workers: processes that share out the batches of
        a call that has enough of them, one thread each.
        """
        self.model, self.tokenizers = model, tokenizers
        self.options = options or SearchOptions()
        self.max_pieces, self.batch_tokens = max_pieces, batch_tokens
        self.device = torch.device(device)
        self._turn = threading.Lock()
        self._pool = WorkerPool(self._make_work, workers, _tell_loss) if workers > 1 else None

    def __enter__(self) -> Translator:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker processes."""
        if self._pool is not None:
            self._pool.close()

    @classmethod
    def load(
        cls,
        models: str | Path | Sequence[str | Path],
        *,
        device: str = "auto",
        threads: int | None = None,
        precision: str = "auto",
        engine: str = "auto",
        shortlist: bool = False,
        workers: int = 1,
    ) -> Translator:
        """From a model directory (or a run directory with a model); several make an ensemble.

        device: `cpu`, `cuda` or `auto`. threads: processor threads of this process, None for one per core.
        precision: `fp32`, `bf16`, or `auto`: bf16 where the processor computes it natively. engine: `reference`,
        `fast`, `int8` or `auto`, see `s2s_cli.model.engine`. shortlist: write only symbols that go with those of the
        source. workers: processes for long lists of lines, on the CPU. Raises CheckpointError for a damaged model and
        for members of an ensemble whose vocabularies differ, UsageError for wrong arguments.
        """
        paths = [models] if isinstance(models, str | Path) else list(models)
        if threads is not None:
            torch.set_num_threads(threads)
        loaded = load_ensemble(
            [Path(path) for path in paths], device=device, precision=precision, engine=engine, shortlist=shortlist
        )
        return cls(
            loaded.model,
            loaded.tokenizers,
            options=loaded.options,
            max_pieces=loaded.max_pieces,
            batch_tokens=loaded.batch_tokens,
            device=loaded.device,
            workers=workers if loaded.device.type == "cpu" else 1,
        )

    def translate(
        self,
        lines: Sequence[str],
        options: SearchOptions | None = None,
        *,
        batch_tokens: int | None = None,
        keep_attention: bool = False,
    ) -> list[Translation]:
        """One translation for each line, in the same order.

        A blank line never reaches the model. A line of more than `max_pieces` pieces is cut there, and its translation
        says so (`truncated`). keep_attention: hand back the attention of each candidate, which takes memory. Raises
        DataError for a line with a lone surrogate, which is no text.
        """
        if isinstance(lines, str):
            raise TypeError("translate takes a list of lines, not one string")
        options = options or self.options
        sources = self._read(lines, self.tokenizers.source)
        translations = [Translation(source.line, truncated=source.truncated) for source in sources]
        lengths = [len(source.ids) + 1 if source.ids else 0 for source in sources]  # EOS counted
        batches = self._batches(lengths, options, self.batch_tokens if batch_tokens is None else batch_tokens)
        jobs = [_Job([sources[index].ids for index in batch], options) for batch in batches]
        for batch, found in self._search_all(batches, jobs):
            for index, hypotheses in zip(batch, found, strict=True):
                translations[index] = self._write(sources[index], hypotheses, keep_attention)
        return translations

    def score(self, sources: Sequence[str], targets: Sequence[str], *, batch_tokens: int | None = None) -> list[Scored]:
        """How probable the model finds each target, as the translation of the source in its place.

        A pair with a blank source never reaches the model. A side of more than `max_pieces` pieces is cut there, and
        the result says so (`truncated`). batch_tokens: most tokens of a batch, pairs × longest side. Raises DataError
        for a line with a lone surrogate, and if there are not as many targets as sources.

        >>> right, wrong = translator.score(["Merci !"] * 2, ["Thank you!", "Good night!"])
        >>> right.log_prob / right.tokens > wrong.log_prob / wrong.tokens
        True
        """
        if isinstance(sources, str) or isinstance(targets, str):
            raise TypeError("score takes two lists of lines, not strings")
        if len(sources) != len(targets):
            raise DataError(f"sources and targets differ in number: {len(sources)} and {len(targets)}")
        sides = self._read(sources, self.tokenizers.source), self._read(targets, self.tokenizers.target)
        pairs = list(zip(*sides, strict=True))
        scored = [Scored(truncated=source.truncated or target.truncated) for source, target in pairs]
        lengths = [max(len(source.ids), len(target.ids)) + 1 if source.ids else 0 for source, target in pairs]
        tokens = self.batch_tokens if batch_tokens is None else batch_tokens
        for batch in token_batches(lengths, tokens, max(1, STEP_SCORES // self.model.vocabulary)):
            log_probs = self._force([pairs[index] for index in batch])
            for index, log_prob in zip(batch, log_probs, strict=True):
                scored[index] = replace(scored[index], log_prob=log_prob, tokens=len(pairs[index][1].ids) + 1)
        return scored

    def _read(self, lines: Sequence[str], tokenizer: Tokenizer) -> list[_Line]:
        """Clean, cut and tokenise."""
        cut = [_cut(line, number, self.max_pieces) for number, line in enumerate(lines, start=1)]
        encoded = tokenizer.encode([text for text, _ in cut])
        return [
            _Line(line, ids[: self.max_pieces], truncated or len(ids) > self.max_pieces)
            for line, ids, (_, truncated) in zip(lines, encoded, cut, strict=True)
        ]

    def _batches(self, lengths: Sequence[int], options: SearchOptions, tokens: int) -> list[list[int]]:
        """Indices of lines; with workers, in batches small enough that there are several for each of them."""
        if self._pool is not None:
            tokens = min(tokens, max(LEAST_SHARE, sum(lengths) // (4 * self._pool.size)))
        return list(token_batches(lengths, tokens, max(1, STEP_SCORES // (options.beam * self.model.vocabulary))))

    def _search_all(
        self, batches: Sequence[list[int]], jobs: Sequence[_Job]
    ) -> Iterator[tuple[list[int], list[list[Hypothesis]]]]:
        """Each batch with the hypotheses that its job finds."""
        with self._turn:
            if self._pool is None or len(jobs) < self._pool.size:
                yield from ((batch, self._search(job)) for batch, job in zip(batches, jobs, strict=True))
                return
            try:
                for index, found in self._pool.map(jobs):
                    yield batches[index], found
            except JobLost as lost:
                raise LinesLost([index + 1 for index in batches[lost.index]]) from None

    def _search(self, job: _Job) -> list[list[Hypothesis]]:
        source_BS, source_lengths_B = padded(job.sources)
        search = greedy_search if job.options.beam == 1 else beam_search
        with torch.inference_mode():
            return search(self.model, source_BS.to(self.device), source_lengths_B.to(self.device), job.options)

    def _make_work(self) -> Callable[[_Job], list[list[Hypothesis]]]:
        """What a worker does. It has one thread: pools of threads would stand in each other's way."""
        torch.set_num_threads(1)
        return self._search

    def _force(self, pairs: Sequence[tuple[_Line, _Line]]) -> list[float]:
        """log p(target | source) of each pair."""
        source_BS, source_lengths_B = padded([source.ids for source, _ in pairs])
        target_BT, _ = padded([target.ids for _, target in pairs])
        source_BS, source_lengths_B, target_BT = (
            tensor.to(self.device) for tensor in (source_BS, source_lengths_B, target_BT)
        )
        with self._turn, torch.inference_mode():
            return forced_log_probs(self.model, source_BS, source_lengths_B, target_BT).tolist()

    def _write(self, source: _Line, hypotheses: list[Hypothesis], keep_attention: bool) -> Translation:
        tokenizer = self.tokenizers.source
        words = tokenizer.word_indices(source.ids)
        candidates = [self._candidate(hypothesis, words, keep_attention) for hypothesis in hypotheses]
        pieces = tokenizer.pieces(source.ids)
        return Translation.from_candidates(source.line, pieces, candidates, truncated=source.truncated)

    def _candidate(self, hypothesis: Hypothesis, source_words: list[int], keep_attention: bool) -> Candidate:
        tokenizer, ids = self.tokenizers.target, hypothesis.ids
        attention_TS, words = hypothesis.attention, tokenizer.word_indices(ids)
        return Candidate(
            text=one_line(tokenizer.decode(ids)),
            score=hypothesis.score,
            tokens=tokenizer.pieces(ids),
            alignment=[] if attention_TS is None else align_words(attention_TS, source_words, words),
            finished=hypothesis.finished,
            attention=attention_TS if keep_attention else None,
        )


def _tell_loss() -> None:
    console.warn("a worker process ended unexpectedly; its lines are translated again")


class _Job(NamedTuple):
    """Source sentences and what to look for."""

    sources: list[list[int]]
    options: SearchOptions


@dataclass(frozen=True)
class _Line:
    """A line as the model reads it."""

    line: str
    ids: list[int]  # none for a blank line
    truncated: bool


def _cut(line: str, number: int, max_pieces: int) -> tuple[str, bool]:
    """The clean text of a line, and whether its end was left out.

    Characters are cut before they are cleaned and tokenised: both may take more than linear time on what is no text.
    """
    try:
        line.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"lone surrogate U+{ord(line[error.start]):04X} at character {error.start + 1}",
            where=f"line {number}",
            hint="decode bytes as UTF-8 with errors='replace'",
        ) from None
    text, limit = line.strip(), max_pieces * CHARACTERS_PER_PIECE
    return clean_line(text[:limit]), len(text) > limit
