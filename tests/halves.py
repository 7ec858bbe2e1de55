"""
All tests but those of the docs, in two processes at once: most of them wait for something, and CI has two cores.

    python tests/halves.py [arguments of pytest]

With arguments it is plain pytest. Each half measures coverage into a file of its own.
"""

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

TESTS = Path(__file__).parent
FIRST = ("conf", "core", "plugins", "test_failover_drill.py", "test_fallback_matrix.py")
"""The first half; whatever else there is makes the second."""
ELSEWHERE = ("docs",)
"""Has an environment of its own, in which no more is installed than README says."""
PYTEST = (sys.executable, "-m", "coverage", "run", "-m", "pytest")


def halves() -> tuple[list[str], list[str]]:
    """Return the paths of both halves."""
    first = [TESTS / name for name in FIRST]
    rest = [
        path
        for path in sorted(TESTS.iterdir())
        if path not in first
        and path.name not in ELSEWHERE
        and (any(path.rglob("test_*.py")) or path.match("test_*.py"))
    ]
    return [str(path) for path in first], [str(path) for path in rest]


def main() -> int:
    """Run them; the second half's words come when the first has said its own."""
    if given := sys.argv[1:]:
        return subprocess.run([*PYTEST, *given], check=False).returncode
    first, second = halves()
    with ExitStack() as stack:
        log = stack.enter_context(tempfile.TemporaryFile())
        other = stack.enter_context(
            subprocess.Popen([*PYTEST, *second], stdout=log, stderr=subprocess.STDOUT)
        )
        codes = [subprocess.run([*PYTEST, *first], check=False).returncode, other.wait()]
        log.seek(0)
        sys.stdout.write(log.read().decode(errors="replace"))
    return int(any(codes))


if __name__ == "__main__":
    raise SystemExit(main())
