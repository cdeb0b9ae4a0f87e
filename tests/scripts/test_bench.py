"""The benchmarks of programs: their logs are understood, processes are watched, tables show what was measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest

from s2s_cli.errors import MachineError
from scripts import bench_train, bench_translate
from scripts.bench.peers import JoeyNMT, Marian, MarianPacked, OpenNMT, installed
from scripts.bench.processes import Command, run
from scripts.bench.speed import Report, mean_speed, s2s_reports, spread, table
from scripts.bench.workload import ROOT, Workload, reference_recipe

LOGS = {
    OpenNMT: """\
[2026-03-01 11:43:49,463 INFO] Step 10/ 1400; acc: 8.0; ppl: 4287.8; xent: 8.4; lr: 0.00100; sents:     640; \
bsz:  787/ 840/64; 249/266 tok/s;     32 sec;
[2026-03-01 11:43:59,463 INFO] Step 20/ 1400; acc: 13.1; ppl: 531.8; xent: 6.3; lr: 0.00100; sents:     640; \
bsz:  858/ 923/64; 311/335 tok/s;     59 sec;
[2026-03-01 11:43:59,500 INFO] Weighted corpora loaded so far:
			* corpus: 2
[2026-03-01 11:44:04,463 INFO] Step 30/ 1400; acc: 11.6; ppl: 381.8; xent: 5.9; lr: 0.00100; sents:     640; \
bsz: 1062/1171/64; 1177/1195 tok/s;    119 sec;
""",
    JoeyNMT: """\
2026-03-01 11:40:58,565 - INFO - joeynmt.training - EPOCH 1
2026-03-01 11:41:16,357 - INFO - joeynmt.training - Epoch   1, Step:        5, Batch Loss:     7.942955, \
Batch Acc: 0.092105, Tokens per Sec:      282, Lr: 0.001000
2026-03-01 11:41:26,357 - INFO - joeynmt.training - Epoch   1, Step:       10, Batch Loss:     5.814265, \
Batch Acc: 0.064185, Tokens per Sec:      335, Lr: 0.001000
2026-03-01 11:41:31,357 - INFO - joeynmt.training - Epoch   1, Step:       15, Batch Loss:     5.774410, \
Batch Acc: 0.088062, Tokens per Sec:     1195, Lr: 0.001000
""",
    Marian: """\
[2026-03-01 11:35:42] Allocating memory for Adam-specific shards
[2026-03-01 11:44:19] Ep. 1 : Up. 990 : Sen. 640 : Cost 7.98408031 : Time 70.30s : 155.71 words/s : gNorm 1.5559
[2026-03-01 11:45:42] Ep. 1 : Up. 1,000 : Sen. 1,280 : Cost 5.85950613 : Time 10.00s : 335.00 words/s : gNorm 1.2865
[2026-03-01 11:57:23] Ep. 2 : Up. 1,010 : Sen. 1,920 : Cost 5.59631920 : Time 5.00s : 1195.00 words/s : gNorm 1.2133
""",
}


@pytest.mark.parametrize("kind", LOGS, ids=lambda kind: kind.name)
def test_reports_leave_out_the_first(kind):
    assert kind.reports(LOGS[kind]) == [Report(10.0, 335.0), Report(5.0, 1195.0)]
    assert kind.reports("") == []


def test_reports_of_s2s(tmp_path):
    metrics = tmp_path / "metrics.jsonl"
    assert s2s_reports(metrics) == []
    lines = [
        {"kind": "train", "update": 50, "tokens": 40000, "seconds": 30.0},
        {"kind": "validation", "update": 50, "loss": 4.0, "seconds": 7.0},
        {"kind": "train", "update": 100, "tokens": 50000, "seconds": 10.0},
    ]
    unfinished = '{"kind": "train", "upd'
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines) + unfinished)
    assert s2s_reports(metrics) == [Report(10.0, 5000.0)]


def test_mean_speed_is_tokens_over_seconds():
    assert mean_speed([Report(10.0, 300.0), Report(30.0, 100.0)]) == 6000 / 40


def test_table():
    assert spread([3.0, 1000.0, 2.0]) == "3 (2–1,000)"
    assert spread([1.256], 2) == "1.26"
    assert spread([]) == ""
    assert table(["a", "long"], [["xyz", "1"]]).splitlines() == ["| a   | long |", "| --- | ---- |", "| xyz | 1    |"]


def test_reference_workload():
    recipe = reference_recipe(["training.threads=2"])
    model, training = recipe.model, recipe.training
    assert (model.embedding, model.encoder.hidden, model.decoder.hidden, model.attention.size) == (256, 256, 512, 512)
    assert model.tied == "none" and model.dropout.embedding == model.dropout.state == model.dropout.readout == 0.2
    assert (training.learning_rate, training.schedule, training.warmup, training.batch_sentences) == (
        1e-3,
        "constant",
        0,
        64,
    )
    assert training.batch_tokens >= training.batch_sentences * recipe.data.cleaning.max_pieces == 64 * 60


# Processes


def test_run_measures_and_keeps_what_was_written(tmp_path):
    source, output, log = tmp_path / "in", tmp_path / "out", tmp_path / "log"
    source.write_text("words")
    program = "import os, sys; block = bytearray(200 << 20); print(sys.stdin.read() + os.environ['BENCH'])"
    ended = run(Command([sys.executable, "-c", program], {"BENCH": "!"}, source, output), log)
    assert output.read_text() == "words!\n" and log.read_text() == ""
    assert 0 < ended.seconds < 60
    assert 200 << 20 <= ended.peak_bytes < 2 << 30  # that of the process it was forked from counts as well


def test_run_tells_of_a_failure(tmp_path):
    program = "import os; print('BENCH' in os.environ, flush=True); raise SystemExit('it broke')"
    with pytest.raises(MachineError, match="it broke") as caught:
        run(Command([sys.executable, "-c", program], {"BENCH": None}), tmp_path / "log")
    assert caught.value.where == str(tmp_path / "log")
    assert "False" in (tmp_path / "log").read_text()


def test_run_stops_a_program_and_counts_all_of_its_processes(tmp_path):
    block = f"{sys.executable} -c 'import time; block = bytearray(80 << 20); print(1, flush=True); time.sleep(600)'"
    looks, log = count(), tmp_path / "log"

    def enough() -> bool:
        return log.read_text().count("1") == 2 and next(looks) >= 1

    command = Command(["sh", "-c", f"{block} & echo $! > {tmp_path}/worker; {block}"])
    assert run(command, log, enough).peak_bytes >= 160 << 20
    worker = Path("/proc") / (tmp_path / "worker").read_text().strip()
    ending = time.monotonic() + 120  # a process that was killed may take a moment to go
    while worker.exists() and " Z " not in (worker / "stat").read_text():
        assert time.monotonic() < ending
        time.sleep(0.05)


# Tables of results


def test_programs_table_compares_within_rounds():
    trainees = [
        bench_train.Trainee(name, name, numbers, None, None) for name, numbers in [("s2s", "bf16"), ("p", "fp32")]
    ]
    rounds = [
        {"s2s": bench_train.Measured(8000.0, 1 << 30), "p": bench_train.Measured(1000.0, 2 << 30)},
        {"s2s": bench_train.Measured(4000.0, 1 << 30), "p": bench_train.Measured(1000.0, 1 << 30)},
        {"s2s": bench_train.Measured(6000.0, 1 << 30)},
    ]
    limits = {"bf16": 6000 * bench_train.FLOP_PER_TOKEN * 2, "fp32": 1000 * bench_train.FLOP_PER_TOKEN * 4}
    first, second = bench_train.programs_table(trainees, rounds, limits).splitlines()[2:]
    assert cells(first) == ["s2s", "bf16", "6,000 (4,000–8,000)", "1.00 (1.00–1.00)", "50%", "1,024 MiB"]
    assert cells(second) == ["p", "fp32", "1,000 (1,000–1,000)", "6.00 (4.00–8.00)", "25%", "2,048 MiB"]


def test_scale_table():
    trainees = [bench_train.Trainee(name, name, "bf16", None, None) for name in ("once", "often")]
    rounds = [{"once": bench_train.Measured(5000.0, 100 << 20), "often": bench_train.Measured(4900.0, 104 << 20)}]
    assert cells(bench_train.scale_table(trainees, rounds).splitlines()[-1]) == [
        "often",
        "4,900",
        "0.980",
        "104",
        "1.040",
    ]


def test_programs_take_turns():
    assert bench_train.interleave(["a", "b", "c"], ["x"]) == ["a", "x", "b", "c"]


def test_translation_tables_take_loading_off():
    contenders = [
        bench_translate.Contender("s2s-int8", "s2s", "int8", False, None),
        bench_translate.Contender("peer", "Peer", "fp32", True, None),
        bench_translate.Contender("broken", "Broken", "fp32", True, None),
    ]
    ours = bench_translate.Measured(3.0, 1.0, 16000, 1000, 40.0, 1 << 30)
    theirs = bench_translate.Measured(12.0, 2.0, 16000, 1000, 39.0, 1 << 30)
    speed, cost = bench_translate.tables(contenders, [{"s2s-int8": ours, "peer": theirs}]).split("\n\n")
    header, _, first, second = map(cells, speed.splitlines())
    assert header == ["program", "numbers", "target tokens/s", "sentences/s", "× Peer fp32", "BLEU"]
    assert first == ["s2s", "int8", "8,000", "500", "5.0", "40.00"]
    assert second == ["Peer", "fp32", "1,600", "100", "1.0", "39.00"]
    assert cells(cost.splitlines()[2]) == ["s2s", "int8", "3.0", "1.00", "16,000", "1,024 MiB"]


def test_pieces_are_joined():
    assert bench_translate.joined("▁A ▁man ▁wal k ing .") == "A man walking."


# The other programs


def test_a_program_that_is_not_there_is_left_out(tmp_path, capsys):
    (tmp_path / "marian").mkdir()
    (tmp_path / "marian" / ".installed").touch()
    peers = [kind(tmp_path, Workload(tmp_path), threads=2) for kind in (OpenNMT, Marian, MarianPacked)]
    assert [peer.name for peer in installed(peers)] == ["marian", "marian-packed8"]
    assert "OpenNMT-py 3.5.1 is left out" in capsys.readouterr().err


@pytest.mark.parametrize("kind", LOGS, ids=lambda kind: kind.name)
def test_newest_model(kind, tmp_path):
    peer = kind(tmp_path, Workload(tmp_path), threads=2)
    assert peer.model(tmp_path) is None
    (tmp_path / "model").mkdir()
    names = {OpenNMT: "model_step_{}.pt", JoeyNMT: "model/{}.ckpt", Marian: "model.npz"}
    for update in (200, 1000, 800):
        newest = tmp_path / names[kind].format(update)
        newest.touch()
    assert peer.model(tmp_path) == tmp_path / names[kind].format(1000)


def test_installer_is_a_script():
    script = ROOT / "scripts" / "bench" / "install_peers.sh"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]
