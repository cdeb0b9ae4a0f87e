"""Packed weights multiply as plain ones do."""

from __future__ import annotations

import pytest
import torch

from s2s_cli.model.kernels import packing
from s2s_cli.model.kernels.packing import PackedFactor, PlainFactor, can_pack, packed

TOLERANCE = {torch.float32: 1e-6, torch.bfloat16: 1e-2}


@pytest.mark.skipif(not can_pack(), reason="this torch has no such products")
@pytest.mark.parametrize("kind", TOLERANCE, ids=str)
@pytest.mark.parametrize("rows", [1, 5, 64])
@pytest.mark.parametrize("transposed", [False, True])
def test_it_equals_the_plain_product(kind: torch.dtype, rows: int, transposed: bool) -> None:
    torch.manual_seed(1)
    weight_NK = torch.randn(24, 40, dtype=kind) if not transposed else torch.randn(40, 24, dtype=kind).t()
    x_RK, addend_RN = torch.randn(rows, 40, dtype=kind), torch.randn(2 * rows, 24, dtype=kind)[::2]
    factors = (PackedFactor(weight_NK), PlainFactor(weight_NK))
    out_RN, other_RN = torch.empty(2, rows, 24, dtype=kind)
    for ours, theirs in (
        (factor.product(x_RK) for factor in factors),
        (factor.mm(x_RK, out=out) for factor, out in zip(factors, (out_RN, other_RN), strict=True)),
        (factor.addmm(addend_RN, x_RK, out=out) for factor, out in zip(factors, (out_RN, other_RN), strict=True)),
    ):
        assert (ours - theirs).norm() <= TOLERANCE[kind] * theirs.norm()
    assert torch.equal(ours, out_RN)


def test_what_cannot_be_packed_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(packed(torch.randn(3, 4, dtype=torch.float64)), PlainFactor)

    def no_such_operation(*_: object) -> None:
        raise AttributeError("no such operation")

    monkeypatch.setattr(PackedFactor, "__init__", no_such_operation)
    packing.can_pack.cache_clear()
    assert isinstance(packed(torch.randn(3, 4)), PlainFactor)
    packing.can_pack.cache_clear()


@pytest.mark.skipif(not can_pack(), reason="this torch has no such products")
def test_a_row_is_the_same_bit_for_bit_alone_and_among_others() -> None:
    torch.manual_seed(1)
    factor, x_RK = PackedFactor(torch.randn(768, 256)), torch.randn(64, 256)
    together_RN = factor.product(x_RK)
    assert all(torch.equal(factor.product(x_RK[:rows]), together_RN[:rows]) for rows in (1, 2, 3, 5, 33))
