#!/bin/sh
# Install s2s for serving, without PyTorch: what a model needs that the engine fits. Used by the Dockerfile beside it.
#
#     scripts/container/install.sh PYTHON WHEEL [CONSTRAINTS]
set -eu
python=$1 wheel=$2 constraints=${3:-}

"$python" -m pip install --quiet --no-cache-dir --no-deps "$wheel"
needed=$("$python" - <<'EOF'
from importlib.metadata import requires

from pip._vendor.packaging.requirements import Requirement

for line in requires("s2s-cli"):
    needed = Requirement(line)
    wanted = needed.marker is None or needed.marker.evaluate({"extra": "serve"})
    if wanted and needed.name not in ("torch", "sacrebleu"):  # of training and of scoring
        print(f"{needed.name}{needed.specifier}")
EOF
)
# shellcheck disable=SC2086 # one word for each requirement
"$python" -m pip install --quiet --no-cache-dir ${constraints:+--constraint "$constraints"} $needed
