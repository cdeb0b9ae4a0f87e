"""Word alignments from attention over pieces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from s2s_cli.inference.translation import Alignment


def align_words(attention_TS: np.ndarray, source_words: Sequence[int], target_words: Sequence[int]) -> Alignment:
    """For each target word the source word of greatest attention.

    attention_TS: weight of source piece s when target piece t was written; rows and columns beyond the two lists
        (end of sentence, padding) are left out.
    source_words, target_words: the word that each piece belongs to (`Tokenizer.word_indices`).

    The attention between two words is the sum over their pieces. Each target word has exactly one link, to the
    earliest of equals, so a source word may have none or several.
    """
    if not source_words or not target_words:
        return []
    S, T = len(source_words), len(target_words)
    per_word = _membership(target_words).T @ attention_TS[:T, :S] @ _membership(source_words)  # [target, source] words
    best = per_word.argmax(axis=1).tolist()
    return [(best[target], target) for target in sorted(set(target_words))]


def _membership(words: Sequence[int]) -> np.ndarray:
    """[pieces, words]: 1 where the piece belongs to the word."""
    return np.equal.outer(words, np.arange(max(words) + 1)).astype(np.float32)
