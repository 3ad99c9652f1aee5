"""Kubernetes quantities (`10Gi`, `1.5G`, `1e9`, `500m`) to whole bytes and back.

Source: apimachinery's resource.Quantity: a signed decimal, then a binary suffix, a decimal suffix or an exponent.
A lone `E` is exa; with digits behind it, it is an exponent.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

_BINARY = {"Ki": 1024, "Mi": 1024**2, "Gi": 1024**3, "Ti": 1024**4, "Pi": 1024**5, "Ei": 1024**6}
_DECIMAL = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
}
_FACTORS: dict[str, Fraction] = _DECIMAL | {suffix: Fraction(factor) for suffix, factor in _BINARY.items()}
_QUANTITY = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)(?:[eE]([+-]?\d{1,3})|([a-zA-Z]{0,2}))", re.ASCII)


def parse_quantity(text: str) -> int:
    """The quantity in whole units, rounded up as Kubernetes does.

    Raises:
        ValueError: `text` is no quantity.
    """
    match = _QUANTITY.fullmatch(text)
    if not match or (match[4] or "") not in _FACTORS:
        raise ValueError(f'"{text}" is not a quantity')
    sign, digits, exponent, suffix = match.groups()
    factor = Fraction(10) ** int(exponent) if exponent else _FACTORS[suffix or ""]
    value = Fraction(digits) * factor
    return math.ceil(-value if sign == "-" else value)


def format_quantity(size: int) -> str:
    """`size` bytes in the largest binary suffix that divides them: 1073741824 → `1Gi`, 1000 → `1000`."""
    for suffix, factor in reversed(_BINARY.items()):
        if size and size % factor == 0:
            return f"{size // factor}{suffix}"
    return str(size)
