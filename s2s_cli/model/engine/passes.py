"""What stands between the engine's products: functions of the C library, and beside them the same in PyTorch.

Both have the names and arguments of `s2s_cli.native.decoding`, write their results into tensors that they are given,
and agree. Without a library the engine runs on the second kind: slower, with the same translations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from s2s_cli.model.decoding import mean_probability
from s2s_cli.model.engine.arithmetic import Arithmetic, Operand, Product
from s2s_cli.native import library
from s2s_cli.native.decoding import FUNCTIONS

Argument = Tensor | Product | Operand | list[Product] | list[Tensor]


def run_pass(name: str, arithmetic: Arithmetic, arguments: Sequence[Argument], *scalars: int) -> None:
    """A pass by the C library, or by PyTorch where there is none."""
    if library.load() is None:
        REFERENCES[name](*arguments, *scalars)
        return
    arrays = [array for argument in arguments for array in _arrays(argument)]
    function = FUNCTIONS[name]
    variant = arithmetic.name if arithmetic.name in function.kinds else "float32"
    function(variant, arrays, *scalars, threads=torch.get_num_threads())


def _arrays(argument: Argument) -> Sequence[Tensor | list[Tensor] | None]:
    """The arrays that C is handed; of a list of products, lists of values, of row scales and of column scales."""
    if isinstance(argument, Tensor):
        return [argument]
    if not isinstance(argument, list):
        return argument
    if isinstance(argument[0], Tensor):
        return [argument]
    return [None if arrays[0] is None else list(arrays) for arrays in zip(*argument, strict=True)]


def prepare(numbers_RN: Tensor, operands: Operand) -> None:
    """Rows as products read them."""
    if operands.scales_R is None:
        operands.values_RN.copy_(numbers_RN)
        return
    greatest_R = numbers_RN.abs().amax(dim=1)
    inverse_R = torch.where(greatest_R > 0, 127 / greatest_R, 0.0)
    operands.values_RN.copy_((numbers_RN * inverse_R[:, None]).round())
    operands.scales_R.copy_(greatest_R / 127)


def attend(
    queries: Product,
    energy_A: Tensor,
    keys_BSA: Tensor,
    memory_BSM: Tensor,
    sentences_b: Tensor,
    lengths_B: Tensor,
    attention_RS: Tensor,
    contexts: Operand,
) -> None:
    """α_t = softmax_j(v · tanh(q_t + k_j)), c_t = Σ_j α_{t,j} h_j."""
    beam = len(attention_RS) // max(1, len(sentences_b))
    sentences_R = sentences_b.repeat_interleave(beam)
    sums_RSA = queries.numbers()[:, None] + keys_BSA[sentences_R].float()
    is_padding_RS = torch.arange(keys_BSA.size(1)) >= lengths_B[sentences_R][:, None]
    energies_RS = (sums_RSA.tanh() @ energy_A).masked_fill(is_padding_RS, -torch.inf)
    attention_RS.copy_(energies_RS.softmax(dim=1))
    prepare(torch.bmm(attention_RS[:, None], memory_BSM[sentences_R].float())[:, 0], contexts)


def advance(
    states: Product,
    contexts: Product,
    table_VG: Tensor,
    symbols_R: Tensor,
    bias_G: Tensor,
    before_RH: Tensor,
    after_RH: Tensor,
    following: Operand,
) -> None:
    """s_t = n + z (s_{t-1} − n), see `s2s_cli.model.cells.GRU`."""
    inputs = (table_VG[symbols_R].float() + contexts.numbers()).chunk(3, dim=1)
    products = (states.numbers() + bias_G).chunk(3, dim=1)
    reset, update = (torch.sigmoid(inputs[gate] + products[gate]) for gate in (0, 1))
    after_RH.copy_(torch.lerp(torch.tanh(inputs[2] + reset * products[2]), before_RH, update))
    prepare(after_RH, following)


def read_out(
    states: Product, contexts: Product, table_VD: Tensor, symbols_R: Tensor, bias_D: Tensor, readouts: Operand
) -> None:
    """tanh(W_s s_t + W_c c_t + W_y y_{t-1} + b)."""
    prepare(torch.tanh(states.numbers() + contexts.numbers() + table_VD[symbols_R].float() + bias_D), readouts)


def rank(
    logits: Product,
    bias_V: Tensor,
    log_probs_RC: Tensor,
    best_RC: Tensor,
    ends_R: Tensor,
    first: int,
    end: int,
) -> None:
    """The best symbols from `first` on with their log-probabilities, best first; and log p of `end`."""
    _rank((logits.numbers() + bias_V).log_softmax(dim=1), log_probs_RC, best_RC, ends_R, first, end)


def rank_mean(
    logits: list[Product],
    biases: list[Tensor],
    log_probs_RC: Tensor,
    best_RC: Tensor,
    ends_R: Tensor,
    first: int,
    end: int,
) -> None:
    """As `rank`, of the mean of the probabilities that the members of an ensemble give."""
    pairs = zip(logits, biases, strict=True)
    log_probs_RV = mean_probability([(product.numbers() + bias_V).log_softmax(dim=1) for product, bias_V in pairs])
    _rank(log_probs_RV, log_probs_RC, best_RC, ends_R, first, end)


def project_listed(
    readouts: Operand,
    weights: Operand,
    bias_V: Tensor,
    sentences_b: Tensor,
    counts_B: Tensor,
    symbols_BN: Tensor,
    logits_RN: Tensor,
) -> None:
    """The logits of the symbols that each sentence has a list of; -inf beyond the end of the list.

    weights: all rows of the output projection, and in int8 their scales.
    """
    beam = len(logits_RN) // max(1, len(sentences_b))
    symbols_bN = symbols_BN[sentences_b]
    readouts_bKD = readouts.numbers().view(len(sentences_b), beam, readouts.values_RN.size(1))
    logits_bKN = torch.bmm(readouts_bKD, weights.numbers()[symbols_bN].mT) + bias_V[symbols_bN][:, None]
    logits_RN.copy_(_within(logits_bKN.flatten(0, 1), counts_B[sentences_b]))


def rank_listed(
    logits_RN: Tensor,
    sentences_b: Tensor,
    counts_B: Tensor,
    log_probs_RC: Tensor,
    best_RC: Tensor,
    ends_R: Tensor,
    first: int,
) -> None:
    """As `rank`, for places in the lists, of which the first is that of EOS."""
    log_probs_RN = _within(logits_RN, counts_B[sentences_b]).log_softmax(dim=1)
    _rank(log_probs_RN, log_probs_RC, best_RC, ends_R, first, 0)


def _within(logits_RN: Tensor, counts_b: Tensor) -> Tensor:
    """-inf beyond the end of each sentence's list; its hypotheses are rows one after the other."""
    counts_R = counts_b.repeat_interleave(len(logits_RN) // max(1, len(counts_b)))
    return logits_RN.masked_fill(torch.arange(logits_RN.size(1)) >= counts_R[:, None], -torch.inf)


def _rank(log_probs_RN: Tensor, log_probs_RC: Tensor, best_RC: Tensor, ends_R: Tensor, first: int, end: int) -> None:
    found = log_probs_RN[:, first:].topk(min(log_probs_RC.size(1), log_probs_RN.size(1) - first))
    log_probs_RC.fill_(-torch.inf)[:, : found.values.size(1)] = found.values
    best_RC.fill_(first)[:, : found.values.size(1)] = found.indices + first
    ends_R.copy_(log_probs_RN[:, end])


REFERENCES: dict[str, Callable[..., None]] = {
    function.__name__: function
    for function in (prepare, attend, advance, read_out, rank, rank_mean, project_listed, rank_listed)
}
