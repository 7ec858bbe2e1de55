"""
Chat on this machine's loopback: upstream and load on one core, each gateway alone on the other.

    python -m benchmarks.chat [requests|streams|memory|all] [--litellm PATH] [--portkey PATH] [--smg PATH]
"""

import argparse
import shutil

from benchmarks.chat import memory, requests, streams

PARTS = {"requests": requests.run, "streams": streams.run, "memory": memory.run}
GATEWAYS = ("nginx", "junctor", "smg", "portkey", "litellm")


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    made = argparse.ArgumentParser(prog="benchmarks.chat", description=__doc__)
    made.add_argument("part", nargs="?", default="all", choices=[*PARTS, "all"])
    made.add_argument("--litellm", default=shutil.which("litellm"), help="its command")
    made.add_argument("--portkey", help="start-server.js of @portkey-ai/gateway")
    made.add_argument("--smg", default=shutil.which("smg"), help="command of sglang-router")
    made.add_argument("--only", nargs="+", choices=GATEWAYS, help="measure these alone")
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--seconds", type=float, default=4.0, help="requests: of each round")
    made.add_argument("--connections", type=int, default=32, help="requests")
    made.add_argument("--streams", type=int, default=100, help="streams: open at once")
    made.add_argument("--chunks", type=int, default=40, help="streams: that are counted, of each")
    made.add_argument("--interval", type=int, default=50, help="streams: ms between chunks")
    made.add_argument("--alone", type=int, default=50, help="streams: one at a time in a round")
    made.add_argument("--requests", type=int, default=20_000, help="memory")
    made.add_argument("--cuts", type=int, default=1_000, help="memory: streams left by the client")
    return made


def main() -> None:
    """Run one part, or all."""
    asked = parser().parse_args()
    for name, run in PARTS.items():
        if asked.part in {name, "all"}:
            print(f"\n{name}:")
            run(asked)


if __name__ == "__main__":
    main()
