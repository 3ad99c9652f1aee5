from __future__ import annotations

import contextlib
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openstack_csi.watch.quantity import format_quantity, parse_quantity

SUFFIXES = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1Gi", 2**30),
        ("1.5Gi", 3 * 2**29),
        ("1e3", 1000),
        ("1E3", 1000),
        ("1E", 10**18),
        ("12.5e-1", 2),
        ("500m", 1),
        ("1u", 1),
        ("1n", 1),
        ("0", 0),
        (".5Ki", 512),
        ("5.", 5),
        ("+2k", 2000),
        ("-1", -1),
    ],
)
def test_quantities_are_read_as_kubernetes_reads_them(text: str, size: int) -> None:
    assert parse_quantity(text) == size


@pytest.mark.parametrize("text", ["", "Gi", "1gi", "1 Gi", "1GiB", "1e", "1e3Gi", "1K", "0x10", "١", "1,5Gi", "."])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        parse_quantity(text)


@given(st.integers(0, 10**12), st.integers(0, 999), st.sampled_from(sorted(SUFFIXES)))
def test_a_decimal_with_a_suffix_is_their_product_rounded_up(whole: int, thousandths: int, suffix: str) -> None:
    exact = (whole + Fraction(thousandths, 1000)) * SUFFIXES[suffix]
    assert parse_quantity(f"{whole}.{thousandths:03}{suffix}") == math.ceil(exact)


@given(st.integers(0, 2**70))
def test_what_is_written_is_read_back(size: int) -> None:
    assert parse_quantity(format_quantity(size)) == size


@given(st.integers(1, 1023), st.sampled_from(["Ki", "Mi", "Gi", "Ti"]))
def test_sizes_are_written_in_their_largest_suffix(count: int, suffix: str) -> None:
    assert format_quantity(count * SUFFIXES[suffix]) == f"{count}{suffix}"


@given(st.text(max_size=8))
def test_no_text_ends_in_anything_but_a_size_or_a_refusal(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(parse_quantity(text), int)
