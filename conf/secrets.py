"""What must not be shown, and how it is hidden."""

import re

from junctor.conf.settings import Secret

HIDDEN = "***"
"""Stands in place of a secret."""

_WORD = re.compile(
    "api_?key|authorization|credential|key|passphrase|passw(?:or)?d|secret|token", re.IGNORECASE
)
_SPLIT = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")
_USERINFO = re.compile(r"(?<=://)([^/?#@]*):([^/?#]*)@")
_QUERY = re.compile(
    r"([?&][^=&#]*(?:password|passwd|secret|token|key)[^=&#]*=)[^&#]*", re.IGNORECASE
)


def looks_secret(key: str) -> bool:
    """Whether a key's name says that its value is a secret: `api_key`, `authToken`."""
    return any(_WORD.fullmatch(word.removesuffix("s")) for word in _SPLIT.split(key))


def hide(text: str, at: tuple[str | int, ...], *, is_filled: bool) -> str | Secret:
    """
    Wrap a string of a plugin's table that is, or may be, a secret.

    Args:
        text: the value.
        at: its path in the whole tree.
        is_filled: whether part of it came from the environment.

    """
    if at[:1] != ("plugins",):
        return text
    named = any(isinstance(key, str) and looks_secret(key) for key in at[2:])
    return Secret(text) if is_filled or named else text


def reveal(node: object) -> object:
    """Return a raw table with its secrets as plain strings, to be decoded by their types."""
    if isinstance(node, Secret):
        return node.reveal()
    if isinstance(node, dict):
        return {key: reveal(value) for key, value in node.items()}
    if isinstance(node, list):
        return [reveal(value) for value in node]
    return node


def masked_url(text: str) -> str:
    """Return a string with any password inside a URL replaced."""
    return _QUERY.sub(rf"\g<1>{HIDDEN}", _USERINFO.sub(rf"\g<1>:{HIDDEN}@", text))
