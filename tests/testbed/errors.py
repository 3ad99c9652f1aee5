"""What the bed raises."""


class BedError(Exception):
    """Something of the bed could not be had; the text says what, why, and where to look."""
