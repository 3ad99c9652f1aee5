"""How often to look at the cloud while something is waited for: learnt from how long it took before.

A cloud takes about as long for an attach as it took for the last one. So the first look comes shortly before the usual
end, further ones follow closely, and with ever longer pauses once the end is overdue: few calls, and an end that is
seen within some hundredths of what it takes. As long as nothing is learnt of a kind of act, looks come after each
quarter of the time waited.
"""

from __future__ import annotations

SHORTEST = 0.1
"""Seconds between two looks, at least."""

FIRST = 0.25
"""The same while nothing is learnt, and so the seconds until the first look."""

LONGEST = 5.0
"""Seconds between two looks, at most: an early failure is to be seen too."""

SHARE = 0.25
"""Of the time that an end is overdue (or waited for, while nothing is learnt): the pause until the next look."""

EARLY = 0.97
"""Of the usual time: the first look. Were it later, nobody would learn that the cloud has become faster."""

FINE = 0.035
"""Of the usual time: the pause between looks around the end. The second one falls just behind the usual end."""

SLOWLY = 0.25
"""How much of a delay is believed to be the new usual, and of the usual the most that one delay adds to it; a shorter
time is believed at once."""


def next_look(usual: float | None, began: float, looked: float) -> float:
    """When to look next, as a time of the clock that the arguments are of.

    Args:
        usual: seconds that such an act usually takes; None while that is not known.
        began: when it began.
        looked: when the latest look began; any earlier time where there was none since.
    """
    last = max(began, looked)
    if usual is None:
        return last + min(LONGEST, max(FIRST, SHARE * (last - began)))
    first = began + EARLY * usual
    if last < first:
        return min(first, last + LONGEST)
    return last + min(LONGEST, max(SHORTEST, FINE * usual, SHARE * (last - began - usual)))


def learnt(usual: float | None, took: float) -> float:
    """The usual seconds, after an act took so many."""
    if usual is None or took < usual:
        return took
    return usual + SLOWLY * min(took - usual, usual)
