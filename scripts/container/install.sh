#!/bin/sh
# Install s2s for serving, without PyTorch: what a model needs that the engine fits. Used by the Dockerfile beside it.
#
#     scripts/container/install.sh PYTHON WHEEL [CONSTRAINTS]
set -eu
python=$1 wheel=$2 constraints=${3:-}

"$python" -m pip install --quiet --no-cache-dir --no-deps "$wheel"
needed=$("$python" - <<'EOF'
import re
from importlib.metadata import requires

for line in requires("s2s-cli"):
    name, _, extra = line.partition("; extra ==")
    wanted = not extra or extra.strip(" '\"") == "serve"
    if wanted and re.match(r"[\w-]+", name)[0] not in ("torch", "sacrebleu"):  # of training and of scoring
        print(name.strip().replace(" ", ""))
EOF
)
# shellcheck disable=SC2086 # one word for each requirement
"$python" -m pip install --quiet --no-cache-dir ${constraints:+--constraint "$constraints"} $needed
