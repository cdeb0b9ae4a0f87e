"""The container's steps, without Docker: installed from a wheel without PyTorch, the server answers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from s2s_cli.text.symbols import CharacterTokenizer
from s2s_cli.text.tokenizer import TokenizerPair
from scripts.tortures.task import ROOT

FOLDER = ROOT / "scripts" / "container"


def test_the_dockerfile_uses_what_is_there():
    text = (FOLDER / "Dockerfile").read_text()
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / name).exists() or name.startswith("dist/") for name in source.split())
    assert "USER s2s" in text and "HEALTHCHECK" in text and "torch" not in text.lower().replace("pytorch", "")


def test_what_serving_needs_is_listed_without_what_other_extras_need():
    listing = (FOLDER / "install.sh").read_text().split("<<'EOF'\n")[1].split("EOF\n")[0]
    listed = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True).stdout.split()
    names = {re.split("[<>=]", line)[0] for line in listed}
    assert {"starlette", "uvicorn", "numpy"} <= names and all(re.fullmatch(r"[\w.-]+", name) for name in names)
    assert not names & {"torch", "sacrebleu", "matplotlib", "backports-zstd", "pytest"}


@pytest.mark.slow  # installs into a new environment
def test_what_the_container_installs_serves_without_torch(tools, tmp_path: Path):
    letters = CharacterTokenizer("▁abcdefghijklmnopqrstuvwxyz")
    model = tools.export(tmp_path / "model", ("de", "en"), TokenizerPair(letters, letters), packed=True)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path, ROOT]
    subprocess.run(build, check=True, timeout=600)
    [wheel] = tmp_path.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "s2s"], check=True, timeout=600)
    python = tmp_path / "s2s" / "bin" / "python"
    subprocess.run([FOLDER / "install.sh", python, wheel, ROOT / "constraints.txt"], check=True, timeout=600)
    listed = subprocess.run([python, "-m", "pip", "list"], capture_output=True, text=True, check=True, timeout=600)
    assert "torch" not in listed.stdout and "uvicorn" in listed.stdout
    command = [tmp_path / "s2s" / "bin" / "s2s", "serve", "--model", model, "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command, cwd=tmp_path, stderr=log, env=environment)
    try:
        while not (found := re.search(r"http://[\d.:]+/", (tmp_path / "log").read_text())):
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.05)
        fields = json.dumps({"q": "ja", "source": "de", "target": "en"}).encode()
        request = Request(f"{found[0]}translate", fields, {"Content-Type": "application/json"})
        with urlopen(request, timeout=600) as answer:
            assert "translatedText" in json.load(answer)
    finally:
        process.terminate()
        assert process.wait(60) == 143
