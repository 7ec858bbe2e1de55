from structlog.testing import capture_logs

from junctor.core.complaints import INTERVAL, Complaints
from junctor.core.plugin_status import PluginStatus, Stage


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_hook_that_keeps_raising_is_logged_once_a_minute():
    """A plugin on the way of each request cannot flood the log; what was left out is counted."""
    clock = Clock()
    complaints = Complaints(clock=clock)
    with capture_logs() as lines:
        for clock.now in (0.0, 1.0, INTERVAL - 1, INTERVAL, INTERVAL + 1):
            complaints.raised("acme", "junctor_plan", ValueError("no"))

    assert [(line["event"], line["reason"], line["unsaid"]) for line in lines] == [
        ("hook_raised", "ValueError: no", 0),
        ("hook_raised", "ValueError: no", 2),
    ]


def test_each_plugin_has_its_own_bound():
    """One noisy plugin does not hide another."""
    complaints = Complaints(clock=Clock())
    with capture_logs() as lines:
        complaints.raised("acme", "junctor_plan", ValueError())
        complaints.raised("other", "junctor_plan", ValueError())

    assert [line["plugin"] for line in lines] == ["acme", "other"]


def test_failure_is_logged_with_its_cause():
    """The traceback goes to the log, never to a caller."""
    error = ValueError("no")
    with capture_logs() as lines:
        Complaints().failed(PluginStatus(name="acme").failed(Stage.IMPORT, error))

    assert [(line["event"], line["stage"], line["exc_info"]) for line in lines] == [
        ("plugin_failed", "import", error)
    ]


def test_quiet_complaints_say_nothing():
    """The command line shows the statuses itself."""
    with capture_logs() as lines:
        Complaints(is_quiet=True).close_failed("acme", ValueError())

    assert lines == []
