"""
Live Thai captions under load, on this machine's loopback: server and engine on one core, load on another.

    python -m benchmarks.captions sessions|overhead|hour [--quick]
"""

import argparse

from benchmarks.captions import hour, overhead, sessions
from benchmarks.captions.servers import keep_off
from benchmarks.captions.speech import LEAD

CALM = "share of the core that others may take; then it is measured again"


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    made = argparse.ArgumentParser(description=__doc__)
    parts = made.add_subparsers(dest="part", required=True)
    part = parts.add_parser("sessions", help="sessions held, with batches and without")
    part.add_argument("--seconds", type=float, default=20.0, help="measured for each number")
    part.add_argument("--warm", type=float, default=7.0, help="before it is measured")
    part.add_argument("--lead", type=float, default=LEAD, help="quiet before each utterance")
    part.add_argument("--rounds", type=int, default=3, help="ramps of each kind, interleaved")
    part.add_argument("--first", type=int, default=4, help="sessions to begin with")
    part.add_argument("--most", type=int, default=1000, help="sessions to end with")
    part.add_argument("--batch", type=int, default=16, help="windows decoded at once, at most")
    part.add_argument("--utterances", type=int, default=48, help="different ones")
    part.add_argument("--calm", type=float, default=0.1, help=CALM)
    part.add_argument("--kinds", nargs="+", default=["batched", "alone"], help="what is compared")
    part.add_argument("--config", help="serve with this file, on all cores, with its own engine")
    part.add_argument("--model", default="", help="provider:model of that file")
    part.set_defaults(run=sessions.run)
    part = parts.add_parser("overhead", help="sessions held without an engine, beside a bare echo")
    part.add_argument("--seconds", type=float, default=6.0, help="measured for each number")
    part.add_argument("--rounds", type=int, default=3, help="ramps of each server, interleaved")
    part.add_argument("--calm", type=float, default=0.1, help=CALM)
    part.add_argument("--first", type=int, default=40, help="sessions to begin with")
    part.add_argument("--most", type=int, default=4000, help="sessions to end with")
    part.set_defaults(run=overhead.run)
    part = parts.add_parser("hour", help="an hour-long session: memory and latency")
    part.add_argument("--minutes", type=float, default=60.0, help="of speech")
    part.add_argument("--speed", type=float, default=10.0, help="times real time; 1 for an hour")
    part.add_argument("--utterances", type=int, default=48, help="different ones")
    part.set_defaults(run=hour.run)
    for one in parts.choices.values():
        one.add_argument("--quick", action="store_true", help="a smoke run: figures mean nothing")
    return made


_QUICK = {
    "sessions": {
        "seconds": 5.5,
        "warm": 0.0,
        "lead": 0.2,
        "utterances": 2,
        "rounds": 1,
        "first": 1,
        "most": 1,
        "calm": 9.0,
    },
    "overhead": {"seconds": 0.5, "rounds": 1, "first": 2, "most": 2, "calm": 9.0},
    "hour": {"minutes": 0.5, "speed": 15.0, "utterances": 2},
}


def main() -> None:
    """Run one part."""
    asked = parser().parse_args()
    if asked.quick:
        vars(asked).update(_QUICK[asked.part])
    keep_off()
    asked.run(asked)


if __name__ == "__main__":
    main()
