"""Errors caused by user input, and text from files made fit to print."""

import re


class UserError(Exception):
    """An error caused by user input; the text is one clear sentence."""


class CheckpointError(RuntimeError):
    """A checkpoint cannot be found, is not safe to read, or does not fit the model."""


class CheckpointMissing(CheckpointError):
    """A checkpoint does not exist and cannot be downloaded."""


def printable(text: object, limit: int = 200) -> str:
    """Escape and shorten text that comes from a file, an address or a user, for a message or a log.

    Args:
        text: anything with a ``str``.
        limit: longest result, in characters of the text. Default 200.

    Returns:
        The text without user names and passwords in addresses, and without control characters, terminal escapes,
        bidirectional marks and lone surrogates, which appear as ``\\x1b`` and the like; of a longer text, the first
        ``limit`` characters and how many there were.
    """
    text = re.sub(r'://[^/@\s]*@', '://', text if isinstance(text, str) else str(text))
    escaped = (c if c.isprintable() else c.encode('unicode_escape', 'surrogatepass').decode() for c in text[:limit])
    shown = ''.join(escaped)
    return shown if len(text) <= limit else f'{shown}... ({len(text):,} characters)'
