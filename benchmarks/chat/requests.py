"""Requests of 500 bytes, each answered with 500 bytes."""

from argparse import Namespace
from contextlib import ExitStack

from benchmarks.chat.peers import start_all
from benchmarks.chat.reader import post, question
from benchmarks.chat.upstream import ANSWER
from benchmarks.rounds import interleave, report
from benchmarks.targets import start_upstream


def run(asked: Namespace) -> None:
    """Measure and print."""
    with ExitStack() as stack:
        targets = start_all(stack, start_upstream(stack, ANSWER), asked)
        seen = interleave(
            targets,
            lambda target: post(target, question()),
            rounds=asked.rounds,
            seconds=asked.seconds,
            connections=asked.connections,
        )
    report(seen)
