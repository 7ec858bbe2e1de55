"""BCP-47 language tags: which of them a model understands."""

from collections.abc import Iterable


def primary(tag: str) -> str:
    """Return the language of a tag, without region or script: `en-IN` is `en`."""
    return tag.replace("_", "-").split("-", 1)[0].lower()


def understands(known: Iterable[str] | None, tag: str) -> bool:
    """Say whether a model that lists `known` (None: any language) understands `tag`."""
    if known is None:
        return True
    wanted = primary(tag)
    return any(primary(one) == wanted for one in known)
