"""Errors caused by user input, and escaped text for messages."""

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
        text: text, or an object to convert with ``str``.
        limit: number of characters of the text to keep. Default 200.

    Returns:
        The text without user names and passwords in addresses. Control characters, terminal escapes, bidirectional
        marks and lone surrogates are escaped, as ``\\x1b``. A longer text is cut and followed by its length.
    """
    text = re.sub(r'://[^/@\s]*@', '://', text if isinstance(text, str) else str(text))
    escaped = (c if c.isprintable() else c.encode('unicode_escape', 'surrogatepass').decode() for c in text[:limit])
    shown = ''.join(escaped)
    return shown if len(text) <= limit else f'{shown}... ({len(text):,} characters)'
