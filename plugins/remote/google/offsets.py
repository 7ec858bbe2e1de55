"""Google's times: strings such as `1.200s`, left out where they are zero."""

from math import isfinite

from junctor.core.net import Target
from junctor.plugins.remote.vendor import nonsense


def seconds(offset: str | None, target: Target) -> float:
    """
    Return a time in seconds.

    Raises:
        ProviderAnswerError: it is none.

    """
    if not offset:
        return 0.0
    try:
        value = float(offset.removesuffix("s"))
    except ValueError as exc:
        raise nonsense(target) from exc
    if not isfinite(value) or value < 0:
        raise nonsense(target)
    return value
