"""The C library can be built where these tests run: if not, the tests of what stands on it are left out."""

from __future__ import annotations

from s2s_cli.native import library


def test_the_c_library_can_be_built_here() -> None:
    assert library.load() is not None, "no C library: install a C compiler (`cc`), or the fast paths stay untested"
