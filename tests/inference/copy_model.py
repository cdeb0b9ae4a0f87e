"""A model that copies its input, symbol by symbol, with the case of letters swapped: what comes out can be foretold."""

from __future__ import annotations

import string
import time
from dataclasses import dataclass, field, replace

import numpy as np

from s2s_cli.inference.dividing import Division
from s2s_cli.inference.translator import Translator
from s2s_cli.search.options import SearchOptions
from s2s_cli.search.step_model import Prediction
from s2s_cli.text.symbols import CharacterTokenizer
from s2s_cli.text.tokenizer import EOS, PAD, UNK, WORD_START, TokenizerPair

ALPHABET = WORD_START + string.ascii_letters + string.digits + ".,?!"
QUESTION_MARK = 4 + ALPHABET.index("?")  # what an unknown character becomes, since search never writes UNK

TOKENIZERS = TokenizerPair(CharacterTokenizer(ALPHABET), CharacterTokenizer(ALPHABET.swapcase()))
GREEDY = SearchOptions(beam=1)


@dataclass(frozen=True)
class CopyState:
    source_BS: np.ndarray
    position: int = 0

    def reorder(self, origin_BK: np.ndarray) -> CopyState:
        return self  # all hypotheses of a sentence are at the same place

    def select(self, sentences_b: np.ndarray) -> CopyState:
        return replace(self, source_BS=self.source_BS[sentences_b])


@dataclass
class CopyModel:
    """ends: whether it writes EOS at the end of the source. delay: seconds that a batch takes."""

    vocabulary: int = TOKENIZERS.target.size
    ends: bool = True
    delay: float = 0.0
    batches: list[np.ndarray] = field(default_factory=list)  # all that it was given

    def start(self, source_BS: np.ndarray, source_lengths_B: np.ndarray, admitted: object = ()) -> CopyState:
        time.sleep(self.delay)
        self.batches.append(source_BS)
        return CopyState(np.where(source_BS == UNK, QUESTION_MARK, source_BS))

    def step(self, previous_BK: np.ndarray, state: CopyState) -> tuple[Prediction, CopyState]:
        B, K = previous_BK.shape
        S = state.source_BS.shape[1]
        place = min(state.position, S - 1)
        symbol_B = state.source_BS[:, place]
        symbol_B = np.where(symbol_B == PAD, EOS, symbol_B)
        if not self.ends:
            symbol_B = np.where(symbol_B == EOS, QUESTION_MARK, symbol_B)
        logits_BV = np.tile(np.linspace(0, 1, self.vocabulary, dtype=np.float32), (B, 1))
        logits_BV[np.arange(B), symbol_B] = 9.0
        log_probs_BV = logits_BV - np.log(np.exp(logits_BV).sum(axis=1, keepdims=True))
        log_probs_BKV = log_probs_BV[:, None].repeat(K, axis=1)
        attention_BKS = np.zeros((B, K, S), np.float32)
        attention_BKS[:, :, place] = 1.0
        return Prediction(log_probs_BKV, attention_BKS), replace(state, position=state.position + 1)


def copy_translator(
    *, ends: bool = True, delay: float = 0.0, max_pieces: int = 50, batch_tokens: int = 4000
) -> Translator:
    """A translator over a `CopyModel`, greedy unless a call says otherwise."""
    model = CopyModel(ends=ends, delay=delay)
    return Translator(
        model, TOKENIZERS, options=GREEDY, division=Division(max_pieces=max_pieces), batch_tokens=batch_tokens
    )
