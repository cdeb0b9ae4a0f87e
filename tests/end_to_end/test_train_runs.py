"""Whole training runs inside this process: every kind of recipe, interrupted at every kind of moment."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from digits import NOISE, assert_same_outcome, content, log_of, steps, train_here, write_task

from s2s_cli.checkpoint.manager import CheckpointManager
from s2s_cli.checkpoint.model_directory import load_model_files
from s2s_cli.errors import CheckpointError, DataError, ExitCode, Stopped, UsageError
from s2s_cli.recipe.loading import dump_recipe, load_recipe
from s2s_cli.training import reporting, run, session
from s2s_cli.training.reporting import MetricsLog
from s2s_cli.training.trainer import Trainer
from s2s_cli.training.validation import Validator

PAIRS = 94
UPDATES = 24  # of three epochs of eight; a validation each ten, a checkpoint each seven, a line of the log each four
BASE = ("training.epochs=3", "validation.every=10")


@pytest.fixture(autouse=True, scope="module")
def hurry() -> Iterator[None]:
    """Lines of the log come often, and nothing waits for the disk, since no test here pulls the plug."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reporting, "LOG_EVERY", 4)
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("task"), pairs=PAIRS)


@pytest.fixture(scope="module")
def whole(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    directory = tmp_path_factory.mktemp("whole") / "run"
    train_here(recipe, directory, *BASE)
    return directory


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


class Interruptions:
    """Signals to this process after some updates, or in the middle of the validations after them; each comes once."""

    def __init__(self, patch: pytest.MonkeyPatch, number: signal.Signals = signal.SIGTERM) -> None:
        self.number = number
        self.updates: set[int] = set()
        self.validations: set[int] = set()
        self.trainer: Trainer | None = None
        update, translate = Trainer.update, Validator._loss

        def interrupted_update(trainer: Trainer, batches):
            result = update(trainer, batches)
            self.trainer = trainer
            self._at(trainer.position.update, self.updates)
            return result

        def interrupted_validation(validator: Validator, model):
            assert self.trainer is not None
            self._at(self.trainer.position.update, self.validations)
            return translate(validator, model)

        patch.setattr(Trainer, "update", interrupted_update)
        patch.setattr(Validator, "_loss", interrupted_validation)

    def _at(self, update: int, moments: set[int]) -> None:
        if update in moments:
            moments.remove(update)
            os.kill(os.getpid(), self.number)

    def train(self, recipe: Path, directory: Path, *overrides: str) -> list[int]:
        """Train until nothing interrupts any more. Returns at which updates it stopped."""
        stopped = []
        while True:
            try:
                train_here(recipe, directory, *overrides)
                return stopped
            except Stopped as stop:
                assert stop.exit_code == ExitCode.TERMINATED
                snapshot = CheckpointManager(directory / "checkpoints", keep=1).load_latest()
                assert snapshot is not None
                stopped.append(snapshot.step)


@pytest.fixture
def interruptions(monkeypatch: pytest.MonkeyPatch) -> Interruptions:
    return Interruptions(monkeypatch)


# ------------------------------------------------------------------------------------------ the same, however stopped

KINDS = {
    "bf16": ["training.precision=bf16", "training.updates=11"],
    "no attention": ["model.decoder.context=initial", "model.decoder.feed_previous=false"],
    "accumulation": ["training.accumulate=3", "training.save_every=null", "validation.every=2"],
    "plateau": ["training.schedule=plateau", "training.decay_patience=1", "validation.every=null"],
    "mean of the last": ["training.averaging={method: last, count: 2}", "training.keep_checkpoints=1"],
    "mean of the best": ["training.averaging={method: best, count: 2}", "validation.metric=loss"],
    "no average": ["training.averaging={method: none}", "validation.metric=chrf", "training.clip_norm=null"],
    "few updates": ["training.updates=17", "training.batch_sentences=5", "tokenizer.kind=character"],
    "noise": [*NOISE, "training.accumulate=2"],
    "marks and terms": [
        *NOISE[1:4],
        "tokenizer={kind: sentencepiece, vocabulary: 60, joint: true}",
        "data.protect={kinds: [placeholders], symbols: 2, share: 0.5}",
        "data.terms={share: 0.5}",
        "data.train=[{tsv: train.tsv, weight: 0.5, tag: <a>}, {tsv: dev.tsv, weight: 2.5}]",
    ],
    "minimum risk": ["training.objective={kind: minimum_risk, candidates: 3}", "training.updates=11"],
    "impatience": ["validation.patience=1", "validation.every=2", "training.learning_rate=1e-9"],
}


FIRST = {"bf16", "no attention", "accumulation", "mean of the last", "noise", "marks and terms", "minimum risk"}


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind not in FIRST)) for kind in KINDS])
def test_every_kind_of_recipe_ends_the_same_however_it_was_stopped(
    kind: str, recipe: Path, tmp_path: Path, interruptions: Interruptions
):
    overrides = [*BASE, *KINDS[kind]]
    assert interruptions.train(recipe, tmp_path / "whole", *overrides) == []
    interruptions.updates, interruptions.validations = {1, 2, 3, 9}, {4, 8, 10}
    assert len(interruptions.train(recipe, tmp_path / "stopped", *overrides)) >= 2
    assert_same_outcome(tmp_path / "stopped", tmp_path / "whole")


def test_stopped_after_each_single_update_it_ends_the_same(
    recipe: Path, whole: Path, tmp_path: Path, interruptions: Interruptions
):
    interruptions.updates = set(range(1, UPDATES + 1))
    stopped = interruptions.train(recipe, tmp_path / "run", *BASE)
    assert stopped == list(range(1, UPDATES + 1))
    assert_same_outcome(tmp_path / "run", whole)


def test_stopped_in_the_middle_of_each_validation_it_ends_the_same(
    recipe: Path, whole: Path, tmp_path: Path, interruptions: Interruptions
):
    interruptions.validations = {10, 20, UPDATES}
    assert interruptions.train(recipe, tmp_path / "run", *BASE) == [10, 20, UPDATES]
    assert_same_outcome(tmp_path / "run", whole)


@pytest.mark.parametrize("edge", [8, 16])
def test_every_pair_is_seen_once_an_epoch_also_when_stopped_within_or_between_epochs(
    edge: int, recipe: Path, tmp_path: Path, interruptions: Interruptions, monkeypatch: pytest.MonkeyPatch
):
    seen: list[np.ndarray] = []
    collate = session.collate
    monkeypatch.setattr(session, "collate", lambda data, pairs: seen.append(pairs) or collate(data, pairs))
    interruptions.updates = {edge - 3, edge, edge + 1}
    interruptions.train(recipe, tmp_path / "run", *BASE)
    assert len(seen) == UPDATES
    for epoch in range(3):
        assert sorted(np.concatenate(seen[8 * epoch : 8 * epoch + 8]).tolist()) == list(range(PAIRS))


def updates_of(lines: Collection[dict], kind: str) -> list[int]:
    return [line["update"] for line in lines if line["kind"] == kind]


class Crash(BaseException):
    """The end of a process, as far as one can have it inside a process."""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("owner", "name"),
    [(CheckpointManager, "save"), (MetricsLog, "write"), (run, "export"), (MetricsLog, "forget_after")],
)
def test_a_crash_before_or_after_anything_is_written_changes_nothing(
    owner: object, name: str, after: bool, recipe: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It crashes at the first call, then (in the next process) at the second, and so on."""
    function: Callable = getattr(owner, name)
    left = 0  # calls until the crash

    def crashing(*arguments, **options):
        nonlocal left
        left -= 1
        if left < 0:
            if after:
                function(*arguments, **options)
            raise Crash
        return function(*arguments, **options)

    monkeypatch.setattr(owner, name, crashing)
    for calls in (0, 1, 2, 5, 1_000):
        left = calls
        with suppress(Crash):
            train_here(recipe, tmp_path / "run", *BASE)
    assert_same_outcome(tmp_path / "run", whole)


def test_a_validation_that_was_reported_but_not_saved_stands_in_the_log_once(
    recipe: Path, whole: Path, tmp_path: Path, interruptions: Interruptions, monkeypatch: pytest.MonkeyPatch
):
    def crash(*arguments, **options):
        raise Crash

    interruptions.validations = {10}
    with pytest.raises(Stopped):  # a checkpoint of update 10, of before its validation
        train_here(recipe, tmp_path / "run", *BASE)
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(CheckpointManager, "save", crash)
        train_here(recipe, tmp_path / "run", *BASE)
    assert updates_of(log_of(tmp_path / "run"), "validation") == [10]
    train_here(recipe, tmp_path / "run", *BASE)
    assert_same_outcome(tmp_path / "run", whole)


def test_what_precedes_a_checkpoint_in_the_log_is_on_the_disk_before_it(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    directory, save = tmp_path / "run", CheckpointManager.save
    log = directory / "metrics.jsonl"
    sizes, kept = list[int](), list[int]()  # of the log, when it was flushed, and when a checkpoint was begun

    def flushed(descriptor: int) -> None:
        if log.exists() and os.path.samestat(os.fstat(descriptor), log.stat()):
            sizes.append(os.fstat(descriptor).st_size)

    def saving(*arguments, **options) -> None:
        kept.append(log.stat().st_size)
        assert sizes == kept
        save(*arguments, **options)

    monkeypatch.setattr(CheckpointManager, "save", saving)
    monkeypatch.setattr(os, "fsync", flushed)
    train_here(recipe, directory, *BASE)
    assert len(kept) == 6


# ------------------------------------------------------------------------------------------------- damaged checkpoints


@pytest.mark.parametrize("file", ["weights.safetensors", "state.json", "manifest.json"])
def test_a_newest_checkpoint_cut_short_is_told_and_the_one_before_goes_on(
    file: str, recipe: Path, whole: Path, copy: Path, capfd: pytest.CaptureFixture[str]
):
    newest = copy / f"checkpoints/step-{steps(copy)[-1]}" / file
    os.truncate(newest, newest.stat().st_size // 2)
    train_here(recipe, copy, *BASE)
    messages = capfd.readouterr().err
    assert "warning: skipped a checkpoint" in messages
    assert newest.parent.name in messages
    assert f"resuming at update {steps(whole)[-2]}," in messages
    assert_same_outcome(copy, whole)


def test_a_stop_where_a_damaged_checkpoint_lies_replaces_it(
    recipe: Path, whole: Path, copy: Path, interruptions: Interruptions
):
    path = copy / f"checkpoints/step-{UPDATES}/weights.safetensors"
    os.truncate(path, 100)
    interruptions.updates = {UPDATES}
    assert interruptions.train(recipe, copy, *BASE) == [UPDATES]
    assert_same_outcome(copy, whole)


def test_when_all_checkpoints_are_bad_it_does_not_begin_anew(
    recipe: Path, copy: Path, capfd: pytest.CaptureFixture[str]
):
    for path in copy.glob("checkpoints/step-*/weights.safetensors"):
        os.truncate(path, path.stat().st_size // 2)
    before, log = steps(copy), log_of(copy)
    with pytest.raises(CheckpointError, match="none of the") as error:
        train_here(recipe, copy, *BASE)
    assert error.value.exit_code == ExitCode.DATA
    assert capfd.readouterr().err.count("warning: skipped a checkpoint") == len(before)
    assert (steps(copy), log_of(copy)) == (before, log)


def test_without_checkpoints_the_log_of_an_earlier_try_is_forgotten(recipe: Path, whole: Path, copy: Path):
    shutil.rmtree(copy / "checkpoints")
    train_here(recipe, copy, *BASE)
    assert_same_outcome(copy, whole)


# ----------------------------------------------------------------------------------------------------- changed recipes


def test_a_finished_run_with_more_epochs_goes_on_where_it_was(
    recipe: Path, copy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    train_here(recipe, copy, *BASE, "training.epochs=5")
    messages = capfd.readouterr().err
    assert "changed recipe: training.epochs: 3 -> 5" in messages
    assert f"resuming at update {UPDATES}, epoch 4" in messages
    train_here(recipe, tmp_path / "five", *BASE, "training.epochs=5")
    ours, theirs = (CheckpointManager(path / "checkpoints", keep=1) for path in (copy, tmp_path / "five"))
    assert steps(copy)[-1] == steps(tmp_path / "five")[-1] == 40
    ours, theirs = ours.load(40), theirs.load(40)
    for name, tensor in theirs.weights.items():
        assert torch.equal(ours.weights[name], tensor)
    assert [line["kind"] for line in log_of(copy)].count("test") == 1
    assert log_of(copy)[-1]["update"] == 40


def test_a_longer_patience_revives_a_run_that_lost_it(recipe: Path, tmp_path: Path):
    hopeless = [*BASE, "training.learning_rate=1e-9", "validation.every=2"]
    train_here(recipe, tmp_path / "run", *hopeless, "validation.patience=2")
    assert steps(tmp_path / "run")[-1] < UPDATES
    train_here(recipe, tmp_path / "run", *hopeless, "validation.patience=null")
    assert steps(tmp_path / "run")[-1] == UPDATES


@pytest.mark.parametrize(
    "change",
    [
        "model.embedding=8",
        "tokenizer.vocabulary=10",
        "data.cleaning.max_pieces=4",
        "validation.metric=loss",
        "validation.beam=2",
        "validation.max_pairs=3",
        "training.averaging={method: none}",
    ],
)
def test_what_checkpoints_cannot_follow_is_refused_and_nothing_is_touched(change: str, recipe: Path, copy: Path):
    before = {path: content(path) for path in copy.glob("checkpoints/step-*")}
    resolved = (copy / "recipe.yaml").read_bytes()
    with pytest.raises(UsageError, match=f"cannot change once the run has checkpoints: {change.partition('=')[0]}"):
        train_here(recipe, copy, *BASE, change)
    assert {path: content(path) for path in copy.glob("checkpoints/step-*")} == before
    assert (copy / "recipe.yaml").read_bytes() == resolved


@pytest.mark.parametrize(
    ("line", "error", "match"),
    [
        ("validation.metric=chrf", UsageError, "cannot change once the run has checkpoints: validation.metric"),
        ("training.averaging={method: last}", UsageError, "the run has checkpoints: training.averaging.method"),
        ("model.encoder.summary=max", UsageError, "the run has checkpoints: model.encoder.summary"),
    ],
)
def test_the_same_holds_where_the_recipe_of_the_run_itself_was_changed(
    line: str, error: type[Exception], match: str, copy: Path
):
    resolved = copy / "recipe.yaml"
    resolved.write_text(dump_recipe(load_recipe(resolved, [line])), encoding="utf-8")
    with pytest.raises(error, match=match):
        train_here(resolved, copy)


def test_an_average_with_which_nothing_was_trained_can_be_given_up(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    plain = [*BASE, "training.averaging={method: none}"]
    train_here(recipe, tmp_path / "run", *plain, "training.epochs=2")
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(session.Session, "train", Mock(side_effect=Crash))
        train_here(recipe, tmp_path / "run", *BASE)
    train_here(recipe, tmp_path / "run", *plain)
    assert steps(tmp_path / "run")[-1] == UPDATES


def test_the_search_of_validations_may_change_where_they_are_compared_by_loss(recipe: Path, tmp_path: Path):
    short = [*BASE, "validation.metric=loss", "training.updates=3"]
    train_here(recipe, tmp_path / "run", *short)
    other = ["validation.beam=2", "decoding.max_length_ratio=0.5"]
    train_here(recipe, tmp_path / "run", *short, *other, "training.updates=4")
    assert steps(tmp_path / "run")[-1] == 4


def test_what_scores_depend_on_in_a_search_may_change_only_when_the_run_is_finished(recipe: Path, tmp_path: Path):
    train_here(recipe, tmp_path / "run", *BASE, "training.updates=3")
    changed = [*BASE, "decoding.max_length_ratio=0.5"]
    with pytest.raises(UsageError, match=r"before the run is finished.*: decoding\.max_length_ratio: 2\.0 -> 0\.5"):
        train_here(recipe, tmp_path / "run", *changed, "training.updates=4")
    assert steps(tmp_path / "run")[-1] == 3
    train_here(recipe, tmp_path / "run", *changed, "training.updates=3")
    assert load_model_files(tmp_path / "run" / "model").config.decoding.max_length_ratio == 0.5


def test_the_model_may_change_before_there_are_checkpoints(recipe: Path, copy: Path):
    shutil.rmtree(copy / "checkpoints")
    train_here(recipe, copy, *BASE, "model.embedding=8", "training.updates=2")
    assert steps(copy) == [2]


def test_another_content_of_the_corpus_is_refused_and_the_data_of_the_run_is_kept(recipe: Path, tmp_path: Path):
    task = Path(shutil.copytree(recipe.parent, tmp_path / "task"))
    train_here(task / "recipe.yaml", tmp_path / "run", *BASE, "training.updates=5")
    lines = (task / "train.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
    prepared = content(tmp_path / "run" / "data" / "train")
    (task / "train.tsv").write_text("".join(lines[:-1]), encoding="utf-8")
    with pytest.raises(DataError, match="not that of the checkpoints"):
        train_here(task / "recipe.yaml", tmp_path / "run", *BASE)
    assert content(tmp_path / "run" / "data" / "train") == prepared
    (task / "train.tsv").write_text("".join(lines), encoding="utf-8")
    train_here(task / "recipe.yaml", tmp_path / "run", *BASE)
    assert steps(tmp_path / "run")[-1] == UPDATES


def test_a_corpus_may_get_another_name_but_no_other_text(recipe: Path, whole: Path, tmp_path: Path):
    task = Path(shutil.copytree(recipe.parent, tmp_path / "task"))
    train_here(task / "recipe.yaml", tmp_path / "run", *BASE, "training.updates=5")
    for name in ("train", "dev"):
        (task / f"{name}.tsv").rename(task / f"moved-{name}.tsv")
    moved = [f"data.{split}.0.tsv=moved-{split}.tsv" for split in ("train", "dev")]
    with pytest.raises(DataError, match="not that of the checkpoints"):
        train_here(task / "recipe.yaml", tmp_path / "run", *BASE, moved[0].replace("train.tsv", "dev.tsv"), moved[1])
    train_here(task / "recipe.yaml", tmp_path / "run", *BASE, *moved)
    assert content(tmp_path / f"run/checkpoints/step-{UPDATES}") == content(whole / f"checkpoints/step-{UPDATES}")


def test_a_changed_order_of_batches_begins_the_epoch_anew(
    recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    train_here(recipe, tmp_path / "run", *BASE, "training.updates=12")
    seen: Counter[int] = Counter()
    collate = session.collate
    monkeypatch.setattr(session, "collate", lambda data, pairs: seen.update(pairs.tolist()) or collate(data, pairs))
    train_here(recipe, tmp_path / "run", *BASE, "training.batch_tokens=90", "training.epochs=2")
    assert "the epoch starts again" in capfd.readouterr().err
    assert seen == Counter(range(PAIRS))


@pytest.mark.parametrize(("stop", "validation"), [(5, 5 + 8), (8, 8)], ids=["within an epoch", "between two"])
def test_after_a_changed_order_of_batches_validations_are_still_those_of_whole_epochs(
    stop: int, validation: int, recipe: Path, tmp_path: Path, interruptions: Interruptions, capfd: pytest.CaptureFixture
):
    interruptions.updates = {stop}
    each_epoch = ["training.epochs=1", "validation.every=null"]
    with pytest.raises(Stopped):
        train_here(recipe, tmp_path / "run", *each_epoch)
    train_here(recipe, tmp_path / "run", *each_epoch, "seed=2")
    assert updates_of(log_of(tmp_path / "run"), "validation") == [validation]
    assert ("the epoch starts again" in capfd.readouterr().err) == (stop != 8)


def test_a_changed_weight_begins_the_epoch_anew(
    recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    train_here(recipe, tmp_path / "run", *BASE, "training.updates=12")
    seen: list[int] = []
    collate = session.collate
    monkeypatch.setattr(session, "collate", lambda data, pairs: seen.extend(pairs.tolist()) or collate(data, pairs))
    train_here(recipe, tmp_path / "run", *BASE, "data.train.0.weight=0.5", "training.epochs=3")
    said = capfd.readouterr().err
    assert "changed recipe: data.train.0.weight: 1.0 -> 0.5" in said and "the epoch starts again" in said
    assert len(seen) == PAIRS and set(Counter(seen)) == set(range(PAIRS))  # epochs 2 and 3: one half each
    with pytest.raises(UsageError, match=r"cannot change once the run has checkpoints: data.train.0.tag"):
        train_here(recipe, tmp_path / "run", *BASE, "data.train.0.tag=<bt>")


# ------------------------------------------------------------------------------------------------------------- the end


def test_validations_that_measure_the_same_weights_again_cost_no_patience(recipe: Path, tmp_path: Path):
    often = [*BASE, "validation.every=1", "validation.metric=loss", "validation.patience=2"]
    train_here(recipe, tmp_path / "run", *often)
    losses = [line["loss"] for line in log_of(tmp_path / "run") if line["kind"] == "validation"]
    assert len(set(losses)) < len(losses) == UPDATES  # 8 to 15 have one average


def test_it_ends_with_a_validation_whatever_ends_it(recipe: Path, tmp_path: Path):
    train_here(recipe, tmp_path / "run", *BASE, "training.updates=13")
    assert [line["update"] for line in log_of(tmp_path / "run") if line["kind"] == "validation"] == [10, 13]


def test_the_exported_model_is_made_again_if_it_is_damaged_or_has_other_settings(recipe: Path, whole: Path, copy: Path):
    for name in ("model.safetensors", "engine.safetensors"):
        path = copy / "model" / name
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        train_here(recipe, copy, *BASE)
        assert_same_outcome(copy, whole)
    train_here(recipe, copy, *BASE, "decoding.beam=3")
    assert load_model_files(copy / "model").config.decoding.beam == 3
    assert [line["kind"] for line in log_of(copy)].count("test") == 1


@pytest.mark.parametrize("due", ["", "validation.every=1", "training.save_every=1"])
def test_a_loss_that_is_no_number_leaves_the_last_good_checkpoint(due: str, recipe: Path, tmp_path: Path):
    directory = tmp_path / "run"
    train_here(recipe, directory, *BASE, "training.updates=7")
    overrides = [*BASE, "training.learning_rate=1e39", "training.schedule=constant", "training.save_every=null"]
    with pytest.raises(DataError, match="not a finite number") as error:
        train_here(recipe, directory, *overrides, "training.epochs=9", "validation.every=100", *filter(None, [due]))
    assert error.value.exit_code == ExitCode.DATA
    snapshot = CheckpointManager(directory / "checkpoints", keep=1).load_latest()
    assert snapshot is not None
    assert snapshot.step == 7
    assert all(tensor.isfinite().all() for tensor in snapshot.weights.values())


def test_the_log_has_a_line_for_every_window_and_every_validation(whole: Path):
    lines = log_of(whole)
    assert updates_of(lines, "train") == [4, 8, 12, 16, 20, 24]
    assert updates_of(lines, "validation") == [10, 20, 24]
    assert updates_of(lines, "test") == [24]
    assert [line["epoch"] for line in lines if line["kind"] == "train"] == [1, 1, 2, 2, 3, 3]
