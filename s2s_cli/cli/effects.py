"""Options that have no effect beside others. They are refused: whoever gives one expects a difference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from s2s_cli.cli.files import document_format, has_rows, is_bulk
from s2s_cli.cli.options import MachineArguments, MetricArguments, SearchArguments
from s2s_cli.errors import UsageError

Values = Mapping[str, Any]
"""The value of each parameter of a command, given or by default."""


class Idle(NamedTuple):
    """Options that have no effect under a condition."""

    options: tuple[str, ...]
    """Names of parameters."""
    condition: Callable[[Values], bool]
    reason: str
    hint: str = "leave it out"


def _names(group: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(group))


def _one_hypothesis(values: Values) -> bool:
    if values["sample"]:
        return values.get("n_best", 1) == 1
    return values["greedy"] or values["beam"] == 1


def _only_perplexity(values: Values) -> bool:
    return (
        values["perplexity"] and not values["glossary"] and sum(values[name] for name in _names(MetricArguments)) == 1
    )


_SEARCH_AND_MACHINE = [
    Idle(("beam", "greedy", "diverse"), lambda values: values["sample"], "--sample draws, whatever is most probable"),
    Idle(("beam", "n_best", "diverse"), lambda values: values["greedy"], "--greedy keeps one hypothesis only"),
    Idle(
        ("temperature", "top_k", "top_p", "seed"),
        lambda values: not values["sample"],
        "nothing is drawn at random without --sample",
        "add --sample",
    ),
    Idle(
        ("mbr",),
        lambda values: values["greedy"] or (values["beam"] == 1 and not values["sample"]),
        "there is only one candidate",
        "use a beam of more than 1, or --sample",
    ),
    Idle(("candidates",), lambda values: not values["mbr"], "only --mbr compares candidates", "add --mbr chrf"),
    Idle(
        ("candidates",),
        lambda values: not values["sample"],
        "without --sample, all hypotheses of the beam are compared",
        "use --beam N, or add --sample",
    ),
    Idle(
        ("normalization", "length_penalty"),
        lambda values: values["sample"] and values["mbr"],
        "with --mbr, draws are compared with one another, whatever their length",
    ),
    Idle(
        ("diversity",), lambda values: not values["diverse"], "there are no groups without --diverse", "add --diverse N"
    ),
    Idle(
        ("length_penalty",),
        lambda values: values["normalization"] == "none",
        "there is no length penalty without a normalization",
        "use --normalization wu or average",
    ),
    Idle(
        ("precision",),
        lambda values: values["engine"] in ("fast", "int8"),
        "the engine computes in float32 (fast) or in 8 bits (int8)",
    ),
    Idle(("shortlist",), lambda values: values["engine"] == "reference", "--engine reference has no shortlist"),
    Idle(("workers",), lambda values: values["device"] == "cuda", "worker processes compute on the CPU only"),
]
_RANKING = ("normalization", "length_penalty")
_ALONE = ("there is only one hypothesis, so none are compared", "use a beam of more than 1")

_OF_OUTPUT = ("json_input", "as_json", "n_best", "alignments", "strict")
_AIDS = ("memory", "protect", "protect_pattern", "glossary")
_OF_TRANSLATING = ("model", *_OF_OUTPUT, *_AIDS, "min_confidence", "batch_tokens", "shard", "ray", "column")

_OF_GLOSSARY = Idle(
    ("glossary_match", "glossary_way"),
    lambda values: not values["glossary"],
    "there is no glossary",
    "add --glossary FILE",
)

IDLE: dict[str, list[Idle]] = {
    "translate": [
        Idle(
            (*_OF_TRANSLATING, *_names(SearchArguments), *_names(MachineArguments)),
            lambda values: values["join"],
            "--join only puts together what was translated",
        ),
        Idle(
            ("column",),
            lambda values: not is_bulk(values) or not has_rows(values),
            "there are columns only in .jsonl and .parquet files, with -o DIR/, --shard or --ray",
            "write into a folder, or leave it out",
        ),
        Idle(
            (*_OF_OUTPUT, "min_confidence"),
            lambda values: is_bulk(values) and has_rows(values),
            "rows get a column of translations",
        ),
        Idle(("shard",), lambda values: values["ray"], "--ray divides the work itself"),
        Idle(("threads",), lambda values: values["ray"], "with --ray, each part is translated by one thread"),
        Idle(
            ("attention", "in_place", "form"),
            is_bulk,
            "files in parts, or into a folder, are translated without it",
            "leave it out, or write to one file without --shard and --ray",
        ),
        Idle(
            (*(name for name in _OF_OUTPUT if name != "strict"), "attention"),
            lambda values: document_format(values) is not None,
            "the input is read as a document, and written as what it was",
            "give its lines on stdin",
        ),
        Idle(("strict",), lambda values: document_format(values) not in (None, "text"), "documents are read strictly"),
        Idle(("fuzzy",), lambda values: not values["memory"], "there is no translation memory", "add --memory FILE"),
        Idle(("fuzzy",), lambda values: not values["as_json"], "only --json shows similar entries", "add --json"),
        _OF_GLOSSARY,
        *_SEARCH_AND_MACHINE,
        # In JSON they change the score.
        Idle(_RANKING, lambda values: _one_hypothesis(values) and not values["as_json"], *_ALONE),
        Idle(("alignments",), lambda values: values["as_json"], "--json always has the alignment"),
    ],
    "evaluate": [
        Idle(
            ("model", "test", "perplexity", *_names(SearchArguments), *_names(MachineArguments)),
            lambda values: values["references"],
            "--reference scores files, without a model",
        ),
        Idle(
            ("hypothesis", "baseline", "language", "source"),
            lambda values: not values["references"],
            "without --reference, a model is scored on the test sets of its recipe",
            "add --reference FILE to score files",
        ),
        Idle(
            ("source", "glossary_match"),
            lambda values: not values["glossary"],
            "nothing else looks for terms",
            "add --glossary FILE",
        ),
        Idle(
            ("language",),
            lambda values: (
                not any(values[name] for name in ("bleu", "distinct", "rouge"))
                and any(values[name] for name in _names(MetricArguments))
            ),
            "only BLEU, ROUGE and --distinct depend on the language",
            "add --bleu",
        ),
        Idle(
            _names(SearchArguments),
            _only_perplexity,
            "nothing is searched for, since perplexity is that of the references",
            "add another metric",
        ),
        *_SEARCH_AND_MACHINE,
        Idle(_RANKING, _one_hypothesis, *_ALONE),
    ],
    "serve": [_OF_GLOSSARY],
}
"""By command. Of several that apply, the first is reported."""


def refuse_idle(context: Any, **settled: object) -> None:
    """Raise UsageError if an option on the command line has no effect.

    context: of the command, as Typer passes it. settled: values that are known better than from the command line, such
    as those which the model's recipe decides.
    """
    values = context.params | settled
    for options, condition, reason, hint in IDLE.get(context.command.name, ()):
        for parameter in context.command.params:
            given = str(context.get_parameter_source(parameter.name)).endswith("COMMANDLINE")
            if given and parameter.name in options and condition(values):
                raise UsageError(f"this option has no effect: {reason}", where=parameter.opts[0], hint=hint)
