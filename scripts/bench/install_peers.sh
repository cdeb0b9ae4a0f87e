#!/usr/bin/env bash
# Install the programs that s2s is measured against, each into a virtual environment of its own:
#
#   scripts/bench/install_peers.sh [FOLDER [NAME ...]]      (build/peers, and all of: opennmt joeynmt marian)
#
# OpenNMT-py 3.5.1 refuses every torch since 2.3, and Joey NMT 2.3.0 fails on current libraries as published. What is
# pinned below makes them run on the torch that s2s was tested with. A finished environment is left alone.

set -euo pipefail

torch="torch==2.13.0"

install_opennmt() {
    pip install "$torch"
    pip install --no-deps opennmt-py==3.5.1
    pip install "$torch" configargparse pyonmttok waitress pyyaml sacrebleu==2.3.1 rapidfuzz spacy six flask tensorboard \
        sentencepiece==0.2.0 ctranslate2 pyahocorasick "numpy<2" fasttext-wheel
}

install_joeynmt() {
    pip install "$torch"
    pip install "$torch" joeynmt==2.3.0 "numpy<2" importlib_metadata sentencepiece==0.2.0
    # torch's ReduceLROnPlateau has lost its argument `verbose`
    sed -i '/"verbose": False,/d' "$VIRTUAL_ENV"/lib/python3*/site-packages/joeynmt/builders.py
}

install_marian() {
    pip install pymarian==1.12.42
}

folder=${1:-build/peers}
shift || true
if [ $# -eq 0 ]; then set -- opennmt joeynmt marian; fi

for name in "$@"; do
    environment="$folder/$name"
    if [ -e "$environment/.installed" ]; then continue; fi
    echo "Installing $name into $environment ..."
    "${PYTHON:-python3}" -m venv --clear "$environment"
    ( set -e; . "$environment/bin/activate"; "install_$name" )
    touch "$environment/.installed"
done
