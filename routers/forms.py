"""From the text fields of a form to a contract's Struct."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

import msgspec

from junctor.core.errors import InvalidRequestError

F = TypeVar("F", bound=msgspec.Struct)

_FIELD = re.compile(r"\$\.(\w+)")


def decode_fields(
    shape: type[F],
    texts: Mapping[str, Sequence[str]],
    *,
    expected: Mapping[str, str],
    lists: Collection[str] = (),
) -> F:
    """
    Check and convert the text fields of a form.

    Args:
        shape: the Struct of the endpoint.
        texts: each field's values, as sent.
        expected: what each field takes, in words, for the message that refuses it.
        lists: fields that may be given more than once.

    Raises:
        InvalidRequestError: a field is wrong, or given more than once; `param` names it.

    """
    values: dict[str, str | Sequence[str]] = {}
    for name, given in texts.items():
        if name in lists:
            values[name] = given
            continue
        if len(given) > 1:
            message = f"The field {name!r} is given {len(given)} times. Give it once."
            raise InvalidRequestError(message, param=name)
        values[name] = given[0]
    try:
        return msgspec.convert(values, shape, strict=False)
    except msgspec.ValidationError as exc:
        raise _refused(exc, values, expected) from exc


def _refused(
    error: msgspec.ValidationError,
    values: Mapping[str, str | Sequence[str]],
    expected: Mapping[str, str],
) -> InvalidRequestError:
    found = _FIELD.search(str(error))
    name = found.group(1) if found else ""
    given = values.get(name, "")
    shown = given if isinstance(given, str) else ", ".join(given)
    wanted = expected.get(name, "something else")
    return InvalidRequestError(
        f"The field {name!r} is {shown[:100]!r}; expected {wanted}.", param=name or None
    )
