"""No function of the library touches memory that it was not handed, whatever the sizes and strides."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from s2s_cli.native import compiling

HERE = Path(__file__).parent
CASES = 10_000


@pytest.mark.slow
def test_no_access_beyond_the_arrays(tmp_path: Path) -> None:
    checks = "-fsanitize=address,undefined"
    # To compile the engine with -O1 takes four times as long.
    flags = ["-std=gnu11", "-O0", "-fPIC", "-fopenmp-simd", checks, "-fno-sanitize-recover"]
    made = tmp_path / "watched.so"
    compiling.compile_library(["cc", checks], flags, made)
    sanitizer = subprocess.check_output(["cc", "-print-file-name=libasan.so"], text=True).strip()
    variables = os.environ | {
        "LD_PRELOAD": sanitizer,
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONPATH": f"{HERE.parents[1]}:{HERE}",
    }
    command = [sys.executable, str(HERE / "fuzz.py"), str(made), str(CASES)]
    result = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout == f"{CASES} cases\n"
