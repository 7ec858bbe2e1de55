"""Google's errors: `google.rpc.Status`, whose details say more than the status."""

import msgspec
from msgspec import Struct, field

from junctor.core.errors import ProviderAuthError, ProviderError, ProviderQuotaError
from junctor.core.net import RelayAnswer, Target, status_error

_NO_KEY = frozenset({"API_KEY_INVALID"})
_NO_MONEY = frozenset({"BILLING_DISABLED", "BILLING_NOT_ACTIVE"})


class _Violation(Struct, rename="camel"):
    quota_id: str = ""


class _Detail(Struct, rename="camel"):
    reason: str = ""
    retry_delay: str = ""
    violations: list[_Violation] = field(default_factory=list)


class _Status(Struct):
    details: list[_Detail] = field(default_factory=list)


class _Body(Struct):
    error: _Status | str | None = None


def fault(target: Target, answer: RelayAnswer) -> ProviderError:
    """Return our error for an answer whose status is not 2xx."""
    body = _read(answer.body)
    if isinstance(body.error, str) and answer.status in {400, 401, 403}:
        return _auth(target, "gave no token for our service account", answer.status)
    details = body.error.details if isinstance(body.error, _Status) else []
    reasons = {one.reason for one in details}
    if reasons & _NO_KEY:
        return _auth(target, "refused our credentials; check its api_key", answer.status)
    if reasons & _NO_MONEY or _is_day_over(details):
        return ProviderQuotaError(
            f"{target.provider} says that our quota is used up; look at its billing "
            f"(HTTP {answer.status}).",
            provider=target.provider,
            model=target.model,
        )
    delays = [one.retry_delay.removesuffix("s") for one in details if one.retry_delay]
    told = {"Retry-After": delays[0]} if delays and "Retry-After" not in answer.headers else {}
    return status_error(target, answer.status, told or answer.headers)


def _is_day_over(details: list[_Detail]) -> bool:
    """Whether a day's quota is used up; the wait that is told beside it would be in vain."""
    return any("PerDay" in one.quota_id for detail in details for one in detail.violations)


def _auth(target: Target, sentence: str, status: int) -> ProviderAuthError:
    return ProviderAuthError(
        f"{target.provider} {sentence} (HTTP {status}).",
        provider=target.provider,
        model=target.model,
    )


def _read(body: bytes) -> _Body:
    try:
        return msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Body()
