"""
Who of a pool is asked first: the members put in order for one request.

Pure; `junctor.core.policy` says who the members are and how they stand. A member that is full goes
behind all others. Where a request has an affinity, the member that it leads to comes first: by
weighted rendezvous hashing (Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit
Rates", 1998; with weights: Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", 2005),
so that a member that goes takes only its own requests elsewhere, and one that comes takes only its
share; no further than the load of a member is bounded, as in Mirrokni, Thorup and Zadimoghaddam,
"Consistent Hashing with Bounded Loads", 2016.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from hashlib import blake2b
from math import ceil, log
from typing import Literal
from zlib import crc32

from attrs import define

Balance = Literal["least-outstanding", "peak-ewma", "weighted"]
"""How the members of a pool are put in order."""
Random = Callable[[], float]
"""Gives numbers from 0 (inclusive) to 1 (exclusive), as `random.random` does."""

_MASK = (1 << 64) - 1
BOUND = 1.25
"""Load of a member, as a multiple of its fair share, beyond which affinity leads to the next one."""


@define(eq=False)
class Member:
    """One member of a pool, as it stands when a request comes."""

    name: str
    """`provider:model`."""
    outstanding: int = 0
    """Requests under way there."""
    latency: float = 1.0
    """Seconds to its first item: observed (peak EWMA) where that decides, or else expected."""
    weight: float = 1.0
    """How much more than others it carries."""
    is_full: bool = False
    """Whether one more request would be turned away."""
    is_home: bool = False
    """Whether it comes first for the affinity of the request."""


def ordered(members: Iterable[Member], balance: Balance, *, random: Random) -> list[Member]:
    """
    Return the members in the order in which they are to be asked, equal ones as chance has it.

    `least-outstanding`: by requests under way, for its weight. `peak-ewma`: by these times the
    latency, as Finagle does (`com.twitter.finagle.loadbalancer.PeakEwma`: cost = latency times
    (outstanding + 1)). `weighted`: by lot, each place drawn by weight from those that are left
    (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006, in its exponential
    form), whatever the load.
    """
    if balance == "weighted":
        return sorted(members, key=lambda one: (one.is_full, -log(1 - random()) / one.weight))
    if balance == "peak-ewma":
        return sorted(
            members,
            key=lambda one: (
                one.is_full,
                one.latency * (one.outstanding + 1) / one.weight,
                random(),
            ),
        )
    return sorted(
        members, key=lambda one: (one.is_full, (one.outstanding + 1) / one.weight, random())
    )


def home(members: Iterable[Member], affinity: bytes) -> Member | None:
    """
    Return the member that holds what the request begins with; None where all are full.

    It is the first by rendezvous hashing whose load stays within `BOUND` times its share.
    """
    able = [one for one in members if not one.is_full]
    load = BOUND * (sum([one.outstanding for one in able]) + 1)
    weights = sum([one.weight for one in able])
    seed = crc32(affinity)
    for one in sorted(able, key=lambda one: _distance(one, seed)):
        if one.outstanding < ceil(load * one.weight / weights):
            return one
    return None


def _distance(member: Member, seed: int) -> float:
    """Return the draw of a member for an affinity: exponential, its rate the weight; least wins."""
    # SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
    mixed = seed ^ _hashed(member.name)
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _MASK
    return -log(((mixed >> 11) + 1) * 2.0**-53) / member.weight


@lru_cache(maxsize=4096)
def _hashed(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
