"""`[plugins.morse]`: what an operator may set."""

from typing import Annotated

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=1)]
Pitch = Annotated[float, Meta(ge=50, le=7500)]


class MorseSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The plugin's own table; every field has a default, so that it runs without one."""

    lowest_hertz: Pitch = 200.0
    """Lowest pitch that is listened for, Hz."""
    highest_hertz: Pitch = 4000.0
    """Highest pitch that is listened for, Hz."""
    threads: Count = 2
    """Recordings read at the same time."""
    max_waiting: Count = 16
    """Recordings that wait for a thread; one more goes to the next candidate."""
    refuse_other_sound: bool = False
    """Refuse a recording without Morse code, so that the next model of a chain gets it."""
