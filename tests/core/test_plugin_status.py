import pytest

from junctor.core.errors import PluginError
from junctor.core.plugin_status import PluginStatus, Stage, State, refuse_failures, said


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no"), "ValueError: no"),
        (ValueError(), "ValueError"),
        (PluginError("A sentence."), "A sentence."),
        (MuteError(), "MuteError"),
        (ValueError("x" * 1000), f"ValueError: {'x' * 488}…"),
    ],
)
def test_errors_are_said_in_short(error, text):
    """Class and text, whatever a stranger's error does."""
    assert said(error) == text


def test_failure_takes_away_what_was_served():
    """A failed plugin serves nothing unless it is said anew."""
    status = PluginStatus(name="acme", providers=("p",), models=("p:m",))

    failed = status.failed(Stage.IMPORT, "broken")

    assert failed == PluginStatus(
        name="acme", status=State.FAILED, stage=Stage.IMPORT, reason="broken"
    )


def test_status_reads_as_a_line():
    """What, whose, how and why."""
    status = PluginStatus(name="acme", distribution="acme-dist", version="1.0")

    assert [str(status), str(status.failed(Stage.IMPORT, "broken"))] == [
        "acme (acme-dist 1.0) ok",
        "acme (acme-dist 1.0) failed at import: broken",
    ]


def test_strict_loading_names_every_failure():
    """One start tells all that has to be mended."""
    well = PluginStatus(name="well")
    sick = [PluginStatus(name=name).failed(Stage.IMPORT, "broken") for name in ("a", "b")]

    with pytest.raises(PluginError, match=r"a failed at import: broken; b failed at import"):
        refuse_failures([well, *sick])


def test_strict_loading_minds_failures_only():
    """A plugin that sits out or was turned off is no failure."""
    statuses = [PluginStatus(name=state, status=state) for state in State if state != "failed"]

    refuse_failures(statuses)

    assert len(statuses) == len(State) - 1
