"""Why the bed could not do what was asked."""


class BedError(Exception):
    """The message is for a person: what failed, why, and where the log is."""
