"""Bytes of a cycler's export as text."""

import re

_BEYOND_ASCII = re.compile(rb"[\x80-\xff]+")


def text_from_line(line: bytes, *, is_first: bool = False) -> str:
    """UTF-8 with or without its mark, else what older cycler programs write: GB 18030 in China, Latin-1 elsewhere."""
    try:
        return line.decode("utf-8-sig" if is_first else "utf-8")
    except UnicodeDecodeError:
        return line.decode("gb18030" if _is_chinese(line) else "latin-1", "replace")


def _is_chinese(line: bytes) -> bool:
    """Whether letters beyond ASCII come in pairs, and several of them together, as they never do in Latin-1."""
    lengths = [len(found) for found in _BEYOND_ASCII.findall(line)]
    return max(lengths, default=0) >= 4 and all(length % 2 == 0 for length in lengths)
