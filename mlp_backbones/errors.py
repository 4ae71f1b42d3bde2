"""Errors caused by user input, and escaped text for messages."""

import json
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


def reason_of(error: BaseException) -> str:
    """The text of an error on one line, or what its class means where the text does not tell."""
    if isinstance(error, OSError) and error.strerror:
        return f'{printable(error.filename)}: {error.strerror}' if error.filename else error.strerror
    if isinstance(error, json.JSONDecodeError):
        return f'it is not valid JSON ({error})'
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    text = printable(' '.join(text.split()), 400)
    if isinstance(error, KeyError) and ' ' not in text:
        return f'the key {text!r} is missing'
    if isinstance(error, RecursionError):
        return 'it refers to itself, directly or through others'
    if isinstance(error, NotImplementedError) or not text:
        return f'{type(error).__name__} {text}'.strip()
    return text


def describe(error: BaseException) -> str:
    """An error as one short phrase: its class and the first line of its text."""
    if isinstance(error, KeyError | OSError):
        return reason_of(error)
    # OpenCV's whole text begins with the path of its source file.
    text = str(getattr(error, 'err', '') or error).strip().partition('\n')[0]
    return f'{type(error).__name__}: {printable(text)}' if text else type(error).__name__
