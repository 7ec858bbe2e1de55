"""How each plugin fares: what `junctor plugins` and `/health` tell."""

from collections.abc import Iterable
from enum import StrEnum

from attrs import evolve, field, frozen

from junctor.core.errors import PluginError

_LONGEST_REASON = 500


class State(StrEnum):
    """What became of a plugin."""

    OK = "ok"
    FAILED = "failed"
    """Something is wrong with it; it serves nothing, or (stage `start`) not everything."""
    INACTIVE = "inactive"
    """It is well and sits out, for example without credentials."""
    DENIED = "denied"
    """The operator turned it off; it was not even imported."""


class Stage(StrEnum):
    """How far a plugin came before it failed."""

    DISCOVERY = "discovery"
    IMPORT = "import"
    REGISTRATION = "registration"
    CONFIGURATION = "configuration"
    PROVIDERS = "providers"
    ROUTERS = "routers"
    COMMANDS = "commands"
    START = "start"


@frozen(kw_only=True)
class PluginStatus:
    """One plugin, for operators: reasons may hold paths and addresses."""

    name: str
    """The entry point's name, by which settings call it."""
    distribution: str = ""
    """The installed package that brings it; empty when nothing of the name is installed."""
    version: str = ""
    status: State = State.OK
    stage: Stage | None = None
    """Where it failed."""
    reason: str = ""
    providers: tuple[str, ...] = ()
    """Names of its providers that serve."""
    models: tuple[str, ...] = ()
    """`provider:model` names that it serves."""
    error: BaseException | None = field(default=None, eq=False, repr=False)
    """What was raised, for the log."""

    def failed(self, stage: Stage, reason: str | BaseException) -> "PluginStatus":
        """Return the status after a failure."""
        error = reason if isinstance(reason, BaseException) else None
        return evolve(
            self,
            status=State.FAILED,
            stage=stage,
            reason=reason if isinstance(reason, str) else said(reason),
            error=error,
            providers=(),
            models=(),
        )

    def __str__(self) -> str:
        package = f" ({self.distribution} {self.version})" if self.distribution else ""
        stage = f" at {self.stage}" if self.stage else ""
        reason = f": {self.reason}" if self.reason else ""
        return f"{self.name}{package} {self.status}{stage}{reason}"


def said(error: BaseException) -> str:
    """Return an error's class and text, shortened; one of ours speaks for itself."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a stranger's __str__
        text = ""
    is_ours = isinstance(error, PluginError) and text
    full = text if is_ours else f"{type(error).__name__}: {text}".removesuffix(": ")
    return full if len(full) <= _LONGEST_REASON else f"{full[:_LONGEST_REASON]}…"


def refuse_failures(statuses: Iterable[PluginStatus]) -> None:
    """
    Refuse to go on when a plugin failed (`loader.strict`).

    Raises:
        PluginError: it names each of them.

    """
    failures = [status for status in statuses if status.status is State.FAILED]
    if failures:
        raise PluginError(
            "loader.strict is set, and not every plugin can be used: "
            f"{'; '.join(str(status) for status in failures)}. Repair, remove or deny them."
        )
