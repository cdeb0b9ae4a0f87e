"""How well a model's confidence fits what its translations are worth, on the test sets that it was not fitted to.

    python scripts/bench_confidence.py runs/multi30k
    python scripts/bench_confidence.py runs/multi30k --engine fast

The calibration is that of the model; for one without, as older models are, it is fitted to dev as the export does it.
Printed are the calibration error, how
much of it so few lines would have by chance, and the area under the risk-coverage curve, where the risk of a line is
1 − chrF / 100: by the confidence, by the search's score, by its log-probability per symbol, and by the chrF itself,
which none can beat.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from s2s_cli.checkpoint.model_directory import Confidence
from s2s_cli.data.prepared import open_prepared
from s2s_cli.evaluation.calibration import (
    calibrate,
    chance_error,
    expected_calibration_error,
    figures_of,
    risk_coverage_area,
    sentence_chrf,
)
from s2s_cli.inference.confidence import confidence, omissions
from s2s_cli.inference.translation import Translation
from s2s_cli.inference.translator import Translator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--threads", type=int)
    chosen = parser.parse_args()
    for run in chosen.runs:
        prepared = open_prepared(run)
        with Translator.load(run, engine=chosen.engine, threads=chosen.threads) as translator:
            calibration = translator.writer.calibration
            if calibration is None:
                sources, references = prepared.dev_texts()
                calibration = calibrate(translator.translate(sources), references)
            if calibration is None:
                parser.error(f"{run}: the model has no confidence, and dev is too small to fit one")
            print(f"{run}: good is a chrF of {calibration.chrf} or more")
            for name in prepared.test_names:
                sources, references = prepared.test_texts(name)
                pairs = zip(translator.translate(sources), references, strict=True)
                for figure, value in measured([pair for pair in pairs if pair[0].n_best], calibration).items():
                    print(f"  {name}  {figure:38} {value:.4f}")


def measured(pairs: Sequence[tuple[Translation, str]], calibration: Confidence) -> dict[str, float]:
    """The figures of translations with their references, by name."""
    evidence = [translation.n_best[0].evidence for translation, _ in pairs]
    chrf_N = sentence_chrf([translation.text for translation, _ in pairs], [reference for _, reference in pairs])
    good_N, risk_N = chrf_N >= calibration.chrf, 1 - chrf_N / 100
    confidence_N = np.array([confidence(calibration, each) for each in evidence])
    score_N = np.array([translation.score for translation, _ in pairs])
    warned = [bool(omissions(each.n_best[0].evidence, each.source_tokens)) for each, _ in pairs]
    return {
        "lines": len(pairs),
        "share of good lines": float(good_N.mean()),
        "calibration error": expected_calibration_error(confidence_N, good_N),
        "calibration error by chance alone": chance_error(confidence_N),
        "risk-coverage area, confidence": risk_coverage_area(confidence_N, risk_N),
        "risk-coverage area, score": risk_coverage_area(score_N, risk_N),
        "risk-coverage area, mean log p": risk_coverage_area(figures_of(evidence)[:, 0], risk_N),
        "risk-coverage area, chrF": risk_coverage_area(chrf_N, risk_N),
        "mean risk": float(risk_N.mean()),
        "lines with an omission warning": float(np.mean(warned)),
    }


if __name__ == "__main__":
    main()
