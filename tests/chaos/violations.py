"""What ends a chaotic night early: something that must never happen."""


class Violation(Exception):  # noqa: N818 - the word of the field for a broken promise
    """A promise of the daemon was broken; the message says which, and on what evidence."""
