"""Translation of lists of lines with one model or an ensemble."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakSet

from s2s_cli import console
from s2s_cli.checkpoint.model_directory import Confidence
from s2s_cli.cores import MOST_THREADS
from s2s_cli.errors import DataError, UsageError
from s2s_cli.inference.dividing import Division, Part, divide
from s2s_cli.inference.loading import load_ensemble, use_threads
from s2s_cli.inference.reading import Reader, Source
from s2s_cli.inference.request import Request
from s2s_cli.inference.searching import Job, Searcher, token_batches
from s2s_cli.inference.translation import Candidate, LinesLost, Scored, Translation
from s2s_cli.inference.writing import Writer
from s2s_cli.processes import JobLost, WorkerPool
from s2s_cli.search.history import Hypothesis
from s2s_cli.search.options import SearchOptions
from s2s_cli.search.step_model import StepModel
from s2s_cli.text.tokenizer import TokenizerPair

# What few translations need is imported where it is needed.
if TYPE_CHECKING:
    from s2s_cli.inference.inline import Flat
    from s2s_cli.search.sampling import Place
    from s2s_cli.text.protected import Finder

LEAST_SHARE = 800  # source tokens of a batch: smaller ones are slower to multiply
STEP_SCORES = 1 << 24  # most log-probabilities of one step (sentences × beam × vocabulary): 64 MiB


class Translator:
    """Translates lists of lines with one model or an ensemble.

    >>> translator = Translator.load("runs/quickstart")
    >>> translator.translate(["Où est la gare ?"])[0].text
    'Where is the station?'

    Its stages are public, for callers that batch in another way: `reader` divides lines into parts, `search` translates
    a batch of parts, and `writer` joins the hypotheses to lines. Another reader may take the place of the model's own.

    Threads may share a translator: their calls are serialised. `close`, or leaving the `with` block, ends the workers.
    """

    def __init__(
        self,
        model: StepModel,
        tokenizers: TokenizerPair,
        *,
        options: SearchOptions | None = None,
        division: Division | None = None,
        batch_tokens: int = 4000,
        device: str = "cpu",
        workers: int = 1,
        calibration: Confidence | None = None,
        finder: Finder | None = None,
    ) -> None:
        """Usually made by `load`.

        options: the default search of a call. division: how lines are divided into parts, which are translated at once.
        batch_tokens: default of most source tokens of a batch, padding included. device: where the model computes,
        `cpu` or `cuda`. workers: processes of one thread each, which share the batches of a call that has enough of
        them. calibration: what gives translations their confidence. finder: what finds the spans of a line that are not
        translated, and come out as they are.
        """
        self.model, self.tokenizers, self.device = model, tokenizers, device
        self.options, self.batch_tokens = options or SearchOptions(), batch_tokens
        self.division = division or Division()
        self.reader = Reader(tokenizers, self.division, finder)
        self.writer = Writer(tokenizers, self.division, calibration)
        self._searcher = Searcher(model, tokenizers.target, self.division.target)
        self._turn = threading.RLock()  # a signal's handler may close what it interrupts
        self._pool = WorkerPool(self._make_work, workers, _tell_loss) if workers > 1 else None
        _translators.add(self)

    def __enter__(self) -> Translator:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker processes, after the call of another thread that uses them."""
        if self._pool is not None:
            with self._turn:
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
        precision: of PyTorch, `fp32` or `bf16`; `auto` is fp32, see `s2s_cli.inference.reference`. engine: `reference`,
        `fast`, `int8` or `auto`, see `s2s_cli.inference.engines`. shortlist: only use target symbols that are likely
        translations of source symbols. workers: processes for long lists of lines, on the CPU. Raises CheckpointError
        for a damaged model and for members of an ensemble whose vocabularies differ, UsageError for wrong arguments.
        """
        for name, count in (("threads", threads), ("workers", workers)):
            if count is not None and not 1 <= count <= MOST_THREADS:
                raise UsageError(f"must be from 1 to {MOST_THREADS}, not {count}", where=f"--{name}")
        paths = [models] if isinstance(models, str | Path) else list(models)
        loaded = load_ensemble(
            [Path(path) for path in paths],
            device=device,
            threads=threads,
            precision=precision,
            engine=engine,
            shortlist=shortlist,
        )
        return cls(**vars(loaded), workers=workers if loaded.device == "cpu" else 1)

    def translate(
        self,
        lines: Sequence[str | Request],
        options: SearchOptions | None = None,
        *,
        batch_tokens: int | None = None,
        keep_attention: bool = False,
        first: int = 0,
    ) -> list[Translation]:
        """One translation for each line, in the same order. A line may be a `Request`, which demands more of it.

        A line of several sentences is translated sentence by sentence, and one that is too long in parts, as `division`
        says; only what exceeds 1 MiB is left out (`truncated`). A blank line never reaches the model.
        keep_attention: return the attention of each candidate, which takes memory. first: number of the first line,
        where these are a window of more lines; what is drawn for a line depends on its number. Raises DataError for a
        line with a lone surrogate, which is not text, and for demands that cannot be met, UsageError for constraints in
        a search that cannot honour them.
        """
        if isinstance(lines, str):
            raise TypeError("translate takes a list of lines, not one string")
        return self._translate(
            self.reader.read(lines), options, batch_tokens=batch_tokens, keep_attention=keep_attention, first=first
        )

    def translate_flats(
        self,
        flats: Sequence[Flat],
        options: SearchOptions | None = None,
        *,
        batch_tokens: int | None = None,
        first: int = 0,
    ) -> list[Translation]:
        """As `translate`, of texts from which codes were taken out, for a reader that `carries`: where the model puts
        them is left in the `marks` of the candidates."""
        return self._translate(self.reader.read_flats(flats), options, batch_tokens=batch_tokens, first=first)

    def _translate(
        self,
        sources: Sequence[Source],
        options: SearchOptions | None,
        *,
        batch_tokens: int | None,
        keep_attention: bool = False,
        first: int,
    ) -> list[Translation]:
        """One translation for each line that was read. Arguments as of `translate`."""
        options = options or self.options
        placed = [
            ((number, place), part)
            for number, source in enumerate(sources, start=first)
            for place, part in enumerate(source.parts)
            if part.ids
        ]
        places, parts = [place for place, _ in placed], [part for _, part in placed]
        if any(part.demand and part.demand.constraints for part in parts):
            from s2s_cli.inference.demands import refuse_constraints

            refuse_constraints(options)
        found: list[list[Candidate]] = [[] for _ in parts]
        tokens = self.batch_tokens if batch_tokens is None else batch_tokens
        for index, hypotheses in self._searched(dict(enumerate(parts)), options, places, tokens):
            found[index] = self.writer.candidates(parts[index], hypotheses, keep_attention=keep_attention)
        return self.writer.lines(sources, found, options)

    def search(
        self, parts: Sequence[Part], options: SearchOptions, places: Sequence[Place] | None = None
    ) -> list[list[Hypothesis]]:
        """The second stage: the hypotheses for each part of one batch, best first.

        places: for sampling, the number of each part's line, and its number in the line; by default that in the batch.
        """
        numbered, places = dict(enumerate(parts)), places or [(number,) for number in range(len(parts))]
        found = dict(self._searched(numbered, options, places, tokens=sys.maxsize))
        return [found[number] for number in numbered]

    def most_parts(self, width: int) -> int:
        """Parts of a batch, by the memory of a step. width: hypotheses of each."""
        return max(1, STEP_SCORES // (width * self.model.vocabulary))

    def check(self, request: Request, options: SearchOptions | None = None) -> None:
        """Raise DataError for demands that the model cannot meet, for they have unknown characters or contradict one
        another, and UsageError for constraints in a search that cannot honour them."""
        self.reader.check(request, options or self.options)

    def score(self, sources: Sequence[str], targets: Sequence[str], *, batch_tokens: int | None = None) -> list[Scored]:
        """The log-probability of each target as the translation of the source at the same index.

        A pair is scored as one sentence, even if it has several, since their correspondence is not known. Only a side
        of more than 10,000 pieces is cut there (`truncated`). A pair with a blank source never reaches the model.
        batch_tokens: most tokens of a batch, pairs × longest side. Raises DataError for a line with a lone surrogate,
        and if there are not as many targets as sources.

        >>> right, wrong = translator.score(["Merci !"] * 2, ["Thank you!", "Good night!"])
        >>> right.log_prob / right.tokens > wrong.log_prob / wrong.tokens
        True
        """
        if isinstance(sources, str) or isinstance(targets, str):
            raise TypeError("score takes two lists of lines, not strings")
        if len(sources) != len(targets):
            raise DataError(f"sources and targets differ in number: {len(sources)} and {len(targets)}")
        whole = replace(self.division, split="never")
        divided_sources = divide(sources, self.tokenizers.source, whole)
        divided_targets = divide(targets, self.tokenizers.target, whole)
        both = list(zip(divided_sources, divided_targets, strict=True))
        scored = [Scored(truncated=source.truncated or target.truncated) for source, target in both]
        pairs = [(source.parts[0].ids, target.parts[0].ids) for source, target in both]
        lengths = [max(len(source), len(target)) + 1 if source else 0 for source, target in pairs]
        tokens = self.batch_tokens if batch_tokens is None else batch_tokens
        for batch in token_batches(lengths, tokens, self.most_parts(width=1)):
            with self._turn:
                log_probs = self._searcher.force([pairs[index] for index in batch])
            for index, log_prob in zip(batch, log_probs, strict=True):
                scored[index] = replace(scored[index], log_prob=log_prob, tokens=len(pairs[index][1]) + 1)
        return scored

    def _batches(self, lengths: Sequence[int], options: SearchOptions, tokens: int) -> list[list[int]]:
        """Batches of indices of parts; with workers, small enough that each worker gets several."""
        if self._pool is not None:
            tokens = min(tokens, max(LEAST_SHARE, sum(lengths) // (4 * self._pool.size)))
        return list(token_batches(lengths, tokens, self.most_parts(options.width)))

    def _searched(
        self, parts: Mapping[int, Part], options: SearchOptions, places: Sequence[Place], tokens: int
    ) -> Iterator[tuple[int, list[Hypothesis]]]:
        """The hypotheses for each part, after its number, in whatever order. Those parts that are searched for again
        come last, all together: a small search costs nearly as much as a large one."""
        numbers, again = list(parts), dict[int, Part]()
        lengths = [len(part.ids) + 1 for part in parts.values()]  # EOS counted
        batches = [[numbers[i] for i in batch] for batch in self._batches(lengths, options, tokens)]
        jobs = [Job([parts[i] for i in batch], options, [places[i] for i in batch]) for batch in batches]
        try:
            for place, found in self._done(jobs):
                for number, hypotheses in zip(batches[place], found, strict=True):
                    if part := self._searcher.again(parts[number], hypotheses, options):
                        again[number] = part
                    else:
                        yield number, hypotheses
        except JobLost as lost:
            raise LinesLost(sorted({places[number][0] + 1 for number in batches[lost.index]})) from None
        if again:
            yield from self._searched(again, options, places, tokens)

    def _done(self, jobs: Sequence[Job]) -> Iterator[tuple[int, list[list[Hypothesis]]]]:
        """What each job finds, after its number; with workers, in whatever order."""
        with self._turn:
            if self._pool is None or len(jobs) < self._pool.size:
                yield from enumerate(map(self._searcher.search, jobs))
            else:
                yield from self._pool.map(jobs)

    def _make_work(self) -> Callable[[Job], list[list[Hypothesis]]]:
        """What a worker does. It has one thread: the thread pools of several processes would compete for the cores."""
        use_threads(self.model, 1)
        return self._searcher.search


_translators: WeakSet[Translator] = WeakSet()


def _begin_in_child() -> None:
    """After any fork, in the child: the thread whose turn it was is not there, and the workers are the parent's."""
    for each in _translators:
        each._turn = threading.RLock()
        each._pool = each._pool and WorkerPool(each._make_work, each._pool.size, _tell_loss)


os.register_at_fork(after_in_child=_begin_in_child)


def _tell_loss() -> None:
    console.warn("a worker process ended unexpectedly; its lines are translated again")
