"""The other programs: how each trains the reference model, tells its speed, and translates.

They run in the environments that `install_peers.sh` makes, in fp32, on pieces that are cut already. Their models are
that of the reference workload as nearly as each program can have it: all need about 8 million multiplications and
additions for the matrix products of a target token.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import yaml

from s2s_cli import console
from scripts.bench.processes import Command
from scripts.bench.speed import Report
from scripts.bench.workload import Workload, write_lines

NEVER = 100_000_000  # updates
REPORT_EVERY = 10  # updates


class Peer(ABC):
    """A program. `folder` is a directory of its own for one training, in which `log` has all it wrote."""

    name: ClassVar[str]
    title: ClassVar[str]
    precision: ClassVar[str] = "fp32"
    environment: ClassVar[str]

    def __init__(self, environments: Path, workload: Workload, threads: int) -> None:
        """environments: the folder that `install_peers.sh` filled."""
        self.home = environments / self.environment
        self.workload, self.threads = workload, threads

    @abstractmethod
    def train(self, folder: Path, save_every: int = NEVER) -> Command:
        """Training from the beginning, without an end. save_every: updates between two checkpoints."""

    @staticmethod
    @abstractmethod
    def reports(log: str) -> list[Report]:
        """What the program tells of its speed, without the first report, which has the start-up in it."""

    @abstractmethod
    def model(self, folder: Path) -> Path | None:
        """The newest model that a training left, ready for translating."""

    @abstractmethod
    def translate(self, model: Path, source: Path, output: Path) -> Command:
        """Translate lines of pieces into lines of pieces: beam 5, 64 sentences a batch."""

    def _program(
        self,
        program: str,
        *arguments: str | Path,
        threads: int | None = None,
        source: Path | None = None,
        output: Path | None = None,
    ) -> Command:
        """A program of the environment. threads: those of one OpenMP pool."""
        environment = {
            "OMP_NUM_THREADS": str(threads or self.threads),
            "PYTHONPATH": None,
            "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",  # OpenNMT-py's checkpoints hold more than weights
        }
        return Command([str(self.home / "bin" / program), *map(str, arguments)], environment, source, output)


class OpenNMT(Peer):
    name, title, environment = "opennmt", "OpenNMT-py 3.5.1", "opennmt"

    def train(self, folder: Path, save_every: int = NEVER) -> Command:
        side = self.workload.side
        configuration = {
            "data": {"corpus": {"path_src": str(side("train", "de")), "path_tgt": str(side("train", "en"))}},
            "src_vocab": str(self.workload.vocabulary),
            "tgt_vocab": str(self.workload.vocabulary),
            "share_vocab": True,
            "encoder_type": "brnn",  # halves hidden_size for each direction
            "decoder_type": "rnn",
            "rnn_type": "GRU",
            "layers": 1,
            "hidden_size": 512,
            "word_vec_size": 256,
            "global_attention": "mlp",
            "bridge": True,
            "dropout": [0.2],
            "optim": "adam",
            "learning_rate": 1e-3,
            "max_grad_norm": 1.0,
            "normalization": "tokens",
            "batch_type": "sents",
            "batch_size": 64,
            "bucket_size": 29_000,  # sorted by length as a whole: one epoch, so that training begins at once
            "num_workers": 0,
            "report_every": REPORT_EVERY,
            "save_model": str(folder / "model"),
            "save_checkpoint_steps": save_every,
            "keep_checkpoint": 2,
            "train_steps": NEVER,
            "valid_steps": NEVER,
        }
        return self._program("onmt_train", "-config", _written(folder, configuration))

    @staticmethod
    def reports(log: str) -> list[Report]:
        found = re.findall(r"^\[(\S+ \S+) INFO\] Step +\d+/.*/ *(\d+) tok/s", log, re.MULTILINE)
        return _between((datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S,%f"), float(rate)) for stamp, rate in found)

    def model(self, folder: Path) -> Path | None:
        return max(folder.glob("model_step_*.pt"), key=_number, default=None)

    def translate(self, model: Path, source: Path, output: Path) -> Command:
        options = "-beam_size 5 -batch_size 64 -batch_type sents".split()
        return self._program("onmt_translate", "-model", model, "-src", source, "-output", output, *options)

    def serve(self, model: Path, port: int, folder: Path) -> Command:
        """Its server, which takes pieces over HTTP; the model's number is 1."""
        options = {"gpu": -1, "beam_size": 5, "batch_size": 64}
        configuration = {"models_root": str(model.parent), "models": [{"id": 1, "model": model.name, "opt": options}]}
        path = folder / "server.json"
        path.write_text(json.dumps(configuration), encoding="utf-8")
        return self._program("onmt_server", "--model_config", path, "--ip", "127.0.0.1", "--port", str(port))


class JoeyNMT(Peer):
    name, title, environment = "joeynmt", "Joey NMT 2.3.0", "joeynmt"

    def train(self, folder: Path, save_every: int = NEVER) -> Command:
        side = {"level": "word", "max_length": 60, "voc_file": str(self.workload.vocabulary)}
        layer = {"type": "recurrent", "rnn_type": "gru", "embeddings": {"embedding_dim": 256}, "dropout": 0.2}
        configuration = {
            "name": "reference",
            "model_dir": str(folder / "model"),
            "use_cuda": False,
            "data": {
                "train": str(self.workload.root / "train"),
                "dev": str(self.workload.root / "dev"),
                "dataset_type": "plain",
                "src": {"lang": "de", **side},
                "trg": {"lang": "en", **side},
            },
            "model": {
                "encoder": {**layer, "hidden_size": 256, "bidirectional": True},
                "decoder": {**layer, "hidden_size": 512, "hidden_dropout": 0.2, "attention": "bahdanau"},
            },
            "training": {
                "optimizer": "adam",
                "learning_rate": 1e-3,
                "scheduling": "plateau",
                "patience": NEVER,
                "clip_grad_norm": 1.0,
                "normalization": "tokens",
                "batch_size": 64,
                "batch_type": "sentence",
                "epochs": NEVER,
                "logging_freq": REPORT_EVERY,
                "validation_freq": save_every,
                "keep_best_ckpts": 1,
                "overwrite": True,
            },
            "testing": {"beam_size": 5, "beam_alpha": 1.0, "batch_size": 64, "batch_type": "sentence"},
        }
        return self._program("python", "-m", "joeynmt", "train", _written(folder, configuration), "--skip-test")

    @staticmethod
    def reports(log: str) -> list[Report]:
        found = re.findall(r"^(\S+ \S+) - INFO .* Step: .*Tokens per Sec: +(\d+)", log, re.MULTILINE)
        return _between((datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S,%f"), float(rate)) for stamp, rate in found)

    def model(self, folder: Path) -> Path | None:
        return max((folder / "model").glob("[0-9]*.ckpt"), key=_number, default=None)

    def translate(self, model: Path, source: Path, output: Path) -> Command:
        configuration = model.parent.parent / "configuration.yaml"
        return self._program("python", "-m", "joeynmt", "translate", configuration, source=source, output=output)


class Marian(Peer):
    name, title, environment = "marian", "Marian 1.12.42", "marian"

    def train(self, folder: Path, save_every: int = NEVER) -> Command:
        """Marian's encoder is as wide as its decoder, and its output layer reads a vector as wide as an embedding. At a
        width of 448 its products amount to those of the reference model."""
        side, vocabulary = self.workload.side, self.workload.marian_vocabulary
        sides: list[str | Path] = ["--train-sets", side("train", "de"), side("train", "en")]
        model = "--type s2s --dim-emb 256 --dim-rnn 448 --dropout-rnn 0.2"
        batches = "--mini-batch 64 --maxi-batch 100 --max-length 61 --sync-sgd"
        optimiser = "--cost-type ce-mean-words --learn-rate 0.001 --optimizer-params 0.9 0.999 1e-8 --clip-norm 1"
        reports = f"--disp-freq {REPORT_EVERY}u --save-freq {save_every}u --overwrite"
        chosen = f"{model} {batches} {optimiser} {reports}".split()
        return self._marian(
            "train", "--model", folder / "model.npz", *sides, "--vocabs", vocabulary, vocabulary, *chosen
        )

    @staticmethod
    def reports(log: str) -> list[Report]:
        found = re.findall(r" Up\. [\d,]+ .*: Time ([\d.]+)s : ([\d.]+) words/s", log)
        return [Report(float(seconds), float(rate)) for seconds, rate in found[1:]]

    def model(self, folder: Path) -> Path | None:
        model = folder / "model.npz"
        return model if model.exists() else None

    def translate(self, model: Path, source: Path, output: Path) -> Command:
        vocabulary = self.workload.marian_vocabulary
        options = "--beam-size 5 --normalize 1 --mini-batch 64 --maxi-batch 100 --maxi-batch-sort src".split()
        files: list[str | Path] = ["--input", source, "--output", output, "--vocabs", vocabulary, vocabulary]
        return self._marian("decode", "--models", model, "--quiet-translation", *files, *options)

    def _marian(self, *arguments: str | Path) -> Command:
        """Marian's threads are workers; each has a single thread of OpenMP."""
        machine = ["--cpu-threads", str(self.threads), "--workspace", "500"]
        return self._program("pymarian", *arguments, *machine, threads=1)


class MarianPacked(Marian):
    """Marian in int8. It quantises its weights when it loads them: converted models of this type crash."""

    name, precision = "marian-packed8", "packed8avx512"

    def translate(self, model: Path, source: Path, output: Path) -> Command:
        command = super().translate(model, source, output)
        return replace(command, arguments=[*command.arguments, "--gemm-type", self.precision, "--optimize"])


def installed(peers: Iterable[Peer]) -> list[Peer]:
    """Those that are there. The user is told which are not."""
    found = []
    for peer in peers:
        if (peer.home / ".installed").exists():
            found.append(peer)
        else:
            console.warn(f"{peer.title} is left out: it is not in {peer.home}, see scripts/bench/install_peers.sh")
    return found


def _written(folder: Path, configuration: dict[str, Any]) -> Path:
    path = folder / "configuration.yaml"
    write_lines(path, [yaml.safe_dump(configuration)])
    return path


def _between(stamped: Iterable[tuple[datetime, float]]) -> list[Report]:
    """Speeds that hold since the report before."""
    return [Report((now - before).total_seconds(), rate) for (before, _), (now, rate) in pairwise(stamped)]


def _number(path: Path) -> int:
    """Of a checkpoint: its update."""
    return int("".join(filter(str.isdigit, path.stem)))
