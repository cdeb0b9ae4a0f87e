"""How translation quality falls with the length of the source, for a fixed context and for attention.

    python scripts/length_study.py                  # joined sentences, four models: an hour or two on two cores
    python scripts/length_study.py --corpus bible --model bahdanau --model luong
    python scripts/length_study.py --quick          # the same in small, to see that it runs

After figure 2 of Bahdanau et al. 2015 and of Luong et al. 2015. Models of like size are trained on the same data,
decode the same test set, and are scored by sacreBLEU in buckets of source length, with 95 % intervals by bootstrap. Two
corpora:

joined  French to English everyday sentences, written one after the other in groups. The same test sentences stand in
        groups of every size, so that nothing but the length differs from bucket to bucket. The default.
bible   Spanish to English verses, long by nature. Tested on books that training never saw.

Everything is kept below runs/length-study: stop it whenever you like, the same command goes on. It ends with
length-study.png, .md (tables) and .json there. The picture needs matplotlib: pip install 's2s-cli[plots]'.
"""

from __future__ import annotations

import argparse
import json
import lzma
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from s2s_cli.evaluation.breakdown import Bucket, score_by_length
from s2s_cli.model.building import build_model
from s2s_cli.recipe import schema
from s2s_cli.recipe.loading import dump_recipe
from s2s_cli.recipe.schema import Recipe

EMBEDDED = Path(__file__).resolve().parent.parent / "recipes" / "data"
EDGES = (10, 20, 30, 40, 50)  # source words
VOCABULARY = 4000
SPREAD = 0.10  # most that the sizes of the models may differ

Pair = tuple[str, str]


# 1. The data


@dataclass(frozen=True)
class Corpus:
    """splits: all pairs of train, dev and test. epochs: passes that take each model some five minutes on two cores."""

    title: str
    languages: schema.Languages
    splits: Callable[[], dict[str, list[Pair]]]
    epochs: int


BOOKS = {"dev": {"Ruth", "Esth", "Jonah"}, "test": {"Judg", "Dan", "Acts"}}  # prose that no other book repeats


def bible() -> dict[str, list[Pair]]:
    """Verses, split by book."""
    splits: dict[str, list[Pair]] = {"train": [], "dev": [], "test": []}
    for reference, english, spanish in _rows("bible-es-en/web-rv1909.tsv.xz"):
        book = reference.partition(".")[0]
        split = next((split for split, books in BOOKS.items() if book in books), "train")
        splits[split].append((spanish, english))
    return splits


GROUPS = (1, 2, 3, 5, 7)  # sentences written one after the other


def joined() -> dict[str, list[Pair]]:
    """Each sentence once in a group of each size."""
    splits = {}
    for split in ("train", "dev", "test"):
        draw = random.Random(1)
        pairs = [(french, english) for french, english, *_ in _rows(f"tatoeba-fr-en/{split}.tsv.xz")]
        splits[split] = [group for size in GROUPS for group in _grouped(draw.sample(pairs, len(pairs)), size)]
        draw.shuffle(splits[split])
    return splits | {"dev": splits["dev"][:300]}


def _grouped(pairs: list[Pair], size: int) -> list[Pair]:
    groups = [pairs[start : start + size] for start in range(0, len(pairs) - size + 1, size)]
    return [(" ".join(source for source, _ in group), " ".join(target for _, target in group)) for group in groups]


def _rows(name: str) -> list[list[str]]:
    with lzma.open(EMBEDDED / name, "rt", encoding="utf-8", newline="\n") as file:
        return [line.rstrip("\n").split("\t") for line in file]


CORPORA = {
    "bible": Corpus("Bible verses, Spanish to English", schema.Languages(source="es", target="en"), bible, epochs=6),
    "joined": Corpus("Joined sentences, French to English", schema.Languages(source="fr", target="en"), joined, 3),
}


# 2. The models


@dataclass(frozen=True)
class Member:
    """A member of the family. Its widths are chosen so that all have about as many parameters."""

    label: str
    encoder: int
    decoder: int
    choices: dict[str, Any]  # of the `model` section


def _fixed(context: str) -> dict[str, Any]:
    return {"encoder": {"summary": "last"}, "decoder": {"context": context, "feed_previous": True}}


MEMBERS = {
    "initial": Member("context as first state (Sutskever et al. 2014)", 224, 432, _fixed("initial")),
    "every_step": Member("context at every step (Cho et al. 2014)", 208, 384, _fixed("every_step")),
    "bahdanau": Member("attention (Bahdanau et al. 2015)", 192, 384, {"attention": {"score": "additive", "size": 256}}),
    "hybrid": Member(
        "Transformer encoder, attention (Chen et al. 2018)",
        256,
        352,
        {"encoder": {"kind": "transformer", "layers": 2, "feed_forward": 512}, "attention": {"size": 256}},
    ),
    "luong": Member("attention (Luong et al. 2015)", 200, 400, {"attention": {"score": "general", "query": "current"}}),
}
USUAL = ["initial", "every_step", "bahdanau", "hybrid"]  # the recurrence of the other one has no fast kernel


@dataclass(frozen=True)
class Scale:
    """How much of everything: the study itself, or a smoke test of it."""

    folder: str
    divisor: int = 1  # of all widths
    vocabulary: int = VOCABULARY
    pairs: int | None = None  # most of each split
    epochs: int | None = None
    threads: int | None = None
    resamples: int = 1000


FULL = Scale("length-study")
QUICK = Scale("length-study-quick", divisor=16, vocabulary=300, pairs=30, epochs=1, threads=1, resamples=20)


def model_section(member: Member, scale: Scale = FULL) -> schema.Model:
    """The `model` section of a member's recipe."""
    values = {key: dict(value) for key, value in member.choices.items()}
    values.setdefault("encoder", {})["hidden"] = member.encoder // scale.divisor
    values.setdefault("decoder", {})["hidden"] = member.decoder // scale.divisor
    return schema.Model.read({"embedding": 192 // scale.divisor, **values})


def parameters(section: schema.Model, vocabulary: int = VOCABULARY) -> int:
    """How many weights the model has."""
    return sum(parameter.numel() for parameter in build_model(section, vocabulary, vocabulary).parameters())


def recipe_of(name: str, corpus: Corpus, scale: Scale) -> Recipe:
    """The recipe that trains a member on a corpus; all but the model is the same for all."""
    return Recipe(
        name=name,
        languages=corpus.languages,
        data=schema.Data(
            train=[schema.TrainCorpus(tsv="train.tsv")],
            dev=[schema.Corpus(tsv="dev.tsv")],
            cleaning=schema.Cleaning(max_pieces=120, drop_overlap=True),
        ),
        tokenizer=schema.Tokenizer(vocabulary=scale.vocabulary),
        model=model_section(MEMBERS[name], scale),
        training=schema.Training(
            batch_tokens=2000,
            epochs=scale.epochs or corpus.epochs,
            learning_rate=2e-3,
            warmup=400,
            keep_checkpoints=1,
            threads=scale.threads,
        ),
        validation=schema.Validation(every=None, metric="bleu", patience=None),
    )


# 3. Training and decoding, by the command line


def prepare(corpus: Corpus, folder: Path, scale: Scale) -> None:
    """Write the splits, and the sources of the test set by themselves."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, pairs in corpus.splits().items():
        lines = [f"{source}\t{target}\n" for source, target in pairs[: scale.pairs]]
        _write(folder / f"{split}.tsv", "".join(lines))
    _write(folder / "sources.txt", "".join(f"{source}\n" for source, _ in read_pairs(folder)))


def read_pairs(folder: Path) -> list[Pair]:
    """The test set."""
    rows = [line.split("\t") for line in (folder / "test.tsv").read_text(encoding="utf-8").split("\n")[:-1]]
    return [(source, target) for source, target in rows]


def train(name: str, corpus: Corpus, folder: Path, scale: Scale) -> None:
    """Train to the end, from wherever it stands."""
    recipe = folder / f"{name}.yaml"
    _write(recipe, dump_recipe(recipe_of(name, corpus, scale)))
    _s2s("train", str(recipe), "--run", str(folder / name))


def decode(name: str, folder: Path) -> list[str]:
    """The model's translations of the test set, made once for each model."""
    hypotheses, model = folder / name / "hypotheses.txt", folder / name / "model" / "manifest.json"
    if not hypotheses.exists() or hypotheses.stat().st_mtime < model.stat().st_mtime:
        unfinished = hypotheses.with_suffix(".part")
        with (folder / "sources.txt").open("rb") as sources, unfinished.open("wb") as file:
            _s2s("translate", "--model", str(folder / name), stdin=sources, stdout=file)
        unfinished.replace(hypotheses)
    return hypotheses.read_text(encoding="utf-8").split("\n")[:-1]


def _s2s(*arguments: str, **streams: Any) -> None:
    done = subprocess.run([sys.executable, "-m", "s2s_cli", *arguments], check=False, **streams)
    if done.returncode:
        raise SystemExit(done.returncode)  # it has said why


def _write(path: Path, text: str) -> None:
    """Only where something changes: what stays as it is need not be prepared again."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8", newline="\n")


# 4. Results


@dataclass(frozen=True)
class Result:
    """What one model reached on one corpus."""

    label: str
    parameters: int
    all: Bucket
    buckets: list[Bucket]


def study(name: str, members: Sequence[str], root: Path, scale: Scale) -> dict[str, Result]:
    """Train, decode and score the members on one corpus."""
    corpus, folder = CORPORA[name], root / name
    prepare(corpus, folder, scale)
    for member in members:
        train(member, corpus, folder, scale)
    return {member: measure(member, folder, scale) for member in members}


def measure(name: str, folder: Path, scale: Scale) -> Result:
    """BLEU by length."""
    pairs, hypotheses = read_pairs(folder), decode(name, folder)
    references, lengths = [target for _, target in pairs], [len(source.split()) for source, _ in pairs]

    def scored(edges: Sequence[int]) -> list[Bucket]:
        return score_by_length(
            hypotheses,
            [references],
            lengths,
            edges=edges,
            metric="bleu",
            language="en",
            resamples=scale.resamples,
        )

    size = parameters(model_section(MEMBERS[name], scale), scale.vocabulary)
    return Result(MEMBERS[name].label, size, scored(())[0], scored(EDGES))


def as_markdown(corpus: str, results: dict[str, Result]) -> str:
    """A table with a row for each bucket, a column for each model."""
    columns = list(results.values())
    rows = [
        ["source words", "sentences", *[result.label for result in columns]],
        ["---", "---:", *["---:"] * len(columns)],
        *[
            [words(bucket), str(bucket.sentences), *[_figure(result.buckets[place]) for result in columns]]
            for place, bucket in enumerate(columns[0].buckets)
        ],
        ["all", str(columns[0].all.sentences), *[_figure(result.all) for result in columns]],
        ["parameters", "", *[f"{result.parameters / 1e6:.2f} M" for result in columns]],
    ]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"**{CORPORA[corpus].title}**: BLEU ± 95 % ({columns[0].all.signature})\n\n{table}\n"


def words(bucket: Bucket) -> str:
    """The lengths of a bucket: `11–20`, or `51+` for the last."""
    return f"{max(1, bucket.shortest)}–{bucket.longest}" if bucket.longest <= EDGES[-1] else f"{bucket.shortest}+"


def _figure(bucket: Bucket) -> str:
    return f"{bucket.value:.1f} ± {bucket.margin:.1f}"


def draw(results: dict[str, dict[str, Result]], path: Path) -> None:
    """A panel for each corpus, a line for each model."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5 * len(results), 4.5), layout="constrained")
    panels = figure.subplots(1, len(results), squeeze=False)[0]
    for axes, (corpus, members) in zip(panels, results.items(), strict=True):
        for number, (name, result) in enumerate(members.items()):
            places = [place + 0.06 * (number - (len(members) - 1) / 2) for place in range(len(result.buckets))]
            values, margins = zip(*((bucket.value, bucket.margin) for bucket in result.buckets), strict=True)
            line = "--" if MEMBERS[name].choices.get("decoder") else "-"
            axes.errorbar(places, values, margins, fmt=f"o{line}", capsize=3, markersize=4, label=result.label)
        buckets = next(iter(members.values())).buckets
        axes.set_xticks(range(len(buckets)), [f"{words(bucket)}\n{bucket.sentences}" for bucket in buckets])
        axes.set(title=CORPORA[corpus].title, xlabel="words of the source, and sentences", ylabel="BLEU")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", alpha=0.3)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(results), frameon=False)
    figure.savefig(path, dpi=130)


def check_sizes(members: Sequence[str], scale: Scale) -> None:
    """Print the sizes of the models, and stop if they are too unlike to compare (a smoke test compares nothing)."""
    sizes = {name: parameters(model_section(MEMBERS[name], scale), scale.vocabulary) for name in members}
    for name, size in sizes.items():
        print(f"{name:<12}{size:>12,} parameters  {MEMBERS[name].label}", flush=True)
    if scale is FULL and max(sizes.values()) > (1 + SPREAD) * min(sizes.values()):
        raise SystemExit(f"these models differ by more than {SPREAD:.0%} in size")


def main() -> None:
    """The study from wherever it stands, to its end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", action="append", choices=CORPORA, help="by default joined")
    parser.add_argument("--model", action="append", choices=MEMBERS, help=f"by default {', '.join(USUAL)}")
    parser.add_argument("--quick", action="store_true", help="a smoke test: tiny models, few pairs")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where to keep everything")
    options = parser.parse_args()
    scale = QUICK if options.quick else FULL
    root, members = options.runs / scale.folder, options.model or USUAL
    check_sizes(members, scale)
    results = {name: study(name, members, root, scale) for name in options.corpus or ["joined"]}
    plain = {corpus: {name: asdict(result) for name, result in each.items()} for corpus, each in results.items()}
    (root / "length-study.json").write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    tables = "\n".join(as_markdown(corpus, each) for corpus, each in results.items())
    (root / "length-study.md").write_text(tables, encoding="utf-8")
    print(tables)
    try:
        draw(results, root / "length-study.png")
    except ImportError:
        raise SystemExit("the picture needs matplotlib: pip install 's2s-cli[plots]'; then run this again") from None
    print(f"the picture is {root / 'length-study.png'}")


if __name__ == "__main__":
    main()
