"""
The process between junctor and a server that it starts: `python -I -S warden.py GRACE COMMAND…`.

A server of strangers, such as vLLM, starts processes of its own, and they outlive it when it is
killed. The warden does not: when junctor ends, however it ends, its end of the standard input is
closed, and the warden stops the server with all that descends from it. It imports nothing of ours.

It writes `started PID`, then `ended STATUS` (below zero for a signal), or only `failed ERROR`, and
ends itself when nothing of the server is left. It reads `k`, to kill the server at once, or the end of its input, to stop it: SIGTERM, and SIGKILL
after GRACE seconds. What the server prints goes where the warden's standard error leads.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
KILL = b"k"


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process, where the system is Linux."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(option, value)


def die_with_parent() -> None:
    """End the server with its warden, should that be killed."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def obey(server: "subprocess.Popen[bytes]", grace: float, over: threading.Event) -> None:
    """Stop the server when told to, or when nobody is left to tell."""
    if os.read(0, 1) != KILL:
        server.terminate()
        if over.wait(grace):
            return
    kill_group(server.pid)


def kill_group(leader: int) -> None:
    """Kill a process group, whether or not there still is one."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def sweep() -> None:
    """Kill and reap what the server left behind; as subreaper we inherit it, generation by generation."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    with suppress(
        OSError
    ):  # ChildProcessError: nobody is left; others: the system has no such file
        while True:
            for pid in map(int, children.read_text("ascii").split()):
                os.kill(pid, signal.SIGKILL)
            os.wait()


def say(line: str) -> None:
    """Tell junctor, if it is still there."""
    with suppress(OSError):
        os.write(1, f"{line}\n".encode())


def main() -> None:
    """Run the command, and end when nothing of it is left."""
    grace, *command = sys.argv[1:]
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=2,
            process_group=0,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - there is no thread yet
        )
    except OSError as error:
        say(f"failed {error.strerror}")
        return
    say(f"started {server.pid}")
    over = threading.Event()
    threading.Thread(target=obey, args=(server, float(grace), over), daemon=True).start()
    code = server.wait()
    over.set()
    say(f"ended {code}")
    kill_group(server.pid)
    sweep()
    os._exit(0)  # the thread still waits for junctor's word


if __name__ == "__main__":
    main()
