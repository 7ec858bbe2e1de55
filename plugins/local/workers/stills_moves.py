"""
Words become the way of a camera over a picture.

Where the camera looks is four corners in the picture. Between two looks they go in straight lines,
so whatever lies between two looks inside the picture is inside it, too, and nothing has to be made
up at its edges. Every way begins with the whole picture.
"""

import math
import random
import re
from enum import Enum, auto
from typing import Final

from attrs import frozen

Corners = tuple[tuple[float, float], ...]
"""Upper left, upper right, lower right, lower left; shares of width and height, 0 to 1."""
WHOLE: Final[Corners] = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))

_EDGE: Final = 0.003
"""What is kept off the edges, a share: half a pixel of the chroma of the smallest video, and a bit."""
_DRIFT: Final = 0.015
"""How far a seed may lead aside, a share."""
_THERE: Final = 0.3
"""The share of the time in which a way out goes in first."""


class Move(Enum):
    """What a camera can be asked to do."""

    IN = auto()
    OUT = auto()
    LEFT = auto()
    RIGHT = auto()
    UP = auto()
    DOWN = auto()
    TURN = auto()
    ORBIT = auto()
    DEPTH = auto()
    """What is below, taken for near, moves more than what is above."""
    STILL = auto()


_PAN: Final = (
    r"\b(?:pan|tilt|mov|slid|track|truck|drift|scroll|cran|pedestal|sweep|glid)\w*"
    r"\W+(?:\w+\W+){0,4}?"
)
"""With a few words behind it; what is a letter of one is none between two, else a long rule of dashes
could be read in more ways than there is time for."""
_PAN_TH: Final = r"(?:แพน|เลื่อน|เคลื่อน|ขยับ|หัน|กวาด)\S{0,24}?\s?\S{0,12}?"
_ZOOM: Final = r"\b(?:zoom|push|pull|mov|creep|dolly)\w*\s+(?:\w+\s+){0,2}?"
_WORDS: Final[dict[Move, tuple[str, ...]]] = {
    Move.IN: (
        rf"{_ZOOM}(?:in|into|closer|forwards?)\b",
        r"\bclos(?:e|ing)[\s-]*(?:up|in)\b",
        r"\bapproach",
        r"\bdolly\b(?!\s+(?:out|back|away|left|right))",
        "ซูมเข้า|ซูมอิน|เข้าใกล้|เข้าหา|เดินหน้า|ดอลลี่เข้า",
    ),
    Move.OUT: (
        rf"{_ZOOM}(?:out|back|backwards?|away)\b",
        "ซูมออก|ซูมเอาต์|ถอยออก|ถอยห่าง|ถอยหลัง|ออกห่าง|ดอลลี่ออก",
    ),
    Move.LEFT: (rf"{_PAN}left(?:wards?)?\b", f"{_PAN_TH}ซ้าย"),
    Move.RIGHT: (rf"{_PAN}right(?:wards?)?\b", f"{_PAN_TH}ขวา"),
    Move.UP: (rf"{_PAN}up(?:wards?)?\b", f"{_PAN_TH}(?:ขึ้น|ด้านบน|ข้างบน)|เงยกล้อง|เงยขึ้น"),
    Move.DOWN: (rf"{_PAN}down(?:wards?)?\b", f"{_PAN_TH}(?:ลง|ด้านล่าง|ข้างล่าง)|ก้มกล้อง|ก้มลง"),
    Move.TURN: (r"\brotat|\bspin|\bcamera\s+rolls?\b", "หมุน|เอียง"),
    Move.ORBIT: (r"\borbit|\barc\s+shot|\bcircl(?:e|es|ing)\s+around", "โคจร|วนรอบ|อ้อมรอบ"),
    Move.DEPTH: (r"\bparallax|\bdolly|\b[23][.]?5?-?d\b", "พารัลแลกซ์|พาราแลกซ์|ดอลลี่|สามมิติ"),
    Move.STILL: (
        r"\b(?:static|locked[\s-]?(?:off|down)|motionless|fixed)\s+(?:camera|shot|frame)",
        r"\b(?:camera|shot)\s+(?:\w+\s+)?(?:static|still|fixed|motionless)\b",
        r"(?:\b(?:no|not|never|without)|n't)\s+(?:zoom|camera\s+mo(?:ve|tion))",
        r"(?:\b(?:not|never|without)|n't)\s+mov(?:e|ing)\s+the\s+camera",
        r"\bcamera\s+(?:does\s+not|doesn't)\s+move",
        "กล้องนิ่ง|กล้องอยู่นิ่ง|กล้องไม่ขยับ|กล้องไม่เคลื่อน|(?:ไม่|ไม่ต้อง|อย่า|ห้าม)ซูม",
    ),
}
_NOT: Final = r"(?<!no )(?<!not )(?<!n't )(?<!never )(?<!without )(?<!ไม่)(?<!ไม่ต้อง)(?<!อย่า)(?<!ห้าม)"
_MOVES: Final = {move: re.compile(f"{_NOT}(?:{'|'.join(all_)})") for move, all_ in _WORDS.items()}
_SPEEDS: Final = (
    (0.6, re.compile(r"\bslow|\bgentl|\bsubtl|ช้า(?!ง)|เบาๆ|เบา ๆ|นุ่มนวล")),
    (1.5, re.compile(r"\bfast|\bquick|\brapid|\bswift|เร็ว|ฉับไว")),
    (1.6, re.compile(r"\bdramatic|\bepic\b|\bintens|ดราม่า|เร้าใจ|อลังการ")),
)
"""How much farther or less far the camera goes, for words of that kind."""


@frozen(kw_only=True)
class View:
    """Where a camera is, by the whole picture; all 0 is all of it."""

    gain: float = 0.0
    """How much larger things are: 0.2 is a fifth."""
    x: float = 0.0
    """To the right, a share of the width."""
    y: float = 0.0
    """Down, a share of the height."""
    turn: float = 0.0
    """Radians, clockwise."""
    lean: float = 0.0
    """How much larger the right edge is than the middle, and smaller the left one."""
    depth: float = 0.0
    """How much more what is at the bottom moves than what is in the middle."""

    def corners(self, aspect: float) -> Corners:
        """Return them for a picture that is so many times as wide as high, drawn in to lie inside."""
        turned = [self._corner(x - 0.5, y - 0.5, aspect) for x, y in WHOLE]
        return _inside(turned)

    def _corner(self, x: float, y: float, aspect: float) -> tuple[float, float]:
        near = 1 + 2 * self.depth * y
        size = (1 - 2 * self.lean * x) / (1 + self.gain * near)
        wide, high = x * size * aspect, y * size
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        turned_x, turned_y = (wide * cos + high * sin) / aspect, high * cos - wide * sin
        return 0.5 + turned_x + self.x * near, 0.5 + turned_y + self.y * near


@frozen
class Path:
    """The looks of a camera, and when it has each: 0 is the first frame, 1 the last."""

    looks: tuple[tuple[float, Corners], ...]

    def at(self, moment: float) -> Corners:
        """Return the corners at a moment, 0 to 1; it eases out of each look and into the next."""
        for (before, start), (after, end) in zip(self.looks, self.looks[1:], strict=False):
            if moment <= after:
                share = eased((moment - before) / (after - before))
                return _between(start, end, share)
        return self.looks[-1][1]


def eased(share: float) -> float:
    """
    Begin and end without a jolt: neither speed nor acceleration jumps.

    K. Perlin, "Improving noise", ACM Transactions on Graphics 21(3), 2002: 6t^5 - 15t^4 + 10t^3.
    """
    return share**3 * (share * (6 * share - 15) + 10)


def moves_in(prompt: str) -> frozenset[Move]:
    """Return what a text asks for; those that take each other back are left out."""
    text = prompt.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    found = {move for move, words in _MOVES.items() if words.search(text)}
    for pair in ({Move.LEFT, Move.RIGHT}, {Move.UP, Move.DOWN}):
        if pair <= found:
            found -= pair
    return frozenset(found)


def strength_of(prompt: str) -> float:
    """Return how far a text wants the camera to go: 1 where it does not say."""
    text = prompt.lower()
    return math.prod(factor for factor, words in _SPEEDS if words.search(text))


def path_of(prompt: str, *, seed: int, aspect: float) -> Path:
    """
    Return the way that a text asks for, a gentle zoom where it asks for none.

    Args:
        prompt: Thai or English.
        seed: the same one gives the same way; another leads aside a little.
        aspect: how many times as wide as high the picture is.

    """
    moves = moves_in(prompt)
    if Move.STILL in moves and len(moves) == 1:
        return Path(((0.0, WHOLE), (1.0, WHOLE)))
    chance = random.Random(seed)  # noqa: S311 - a camera, no secret
    far, way = strength_of(prompt), chance.choice((-1, 1))
    end = _end(moves, far, way)
    drift = {"x": chance.uniform(-_DRIFT, _DRIFT), "y": chance.uniform(-_DRIFT, _DRIFT)}
    if Move.OUT not in moves:
        whole = _moved(end, drift)
        return Path(((0.0, WHOLE), (1.0, whole.corners(aspect))))
    there = _moved(View(gain=0.3 * far, depth=end.depth), drift)
    last = WHOLE if end in (View(), View(depth=end.depth)) else end.corners(aspect)
    return Path(((0.0, WHOLE), (_THERE, there.corners(aspect)), (1.0, last)))


def _end(moves: frozenset[Move], far: float, way: int) -> View:
    """Return where moves of a strength lead; those without a side go the given one (-1 or 1)."""
    sideways = (Move.RIGHT in moves) - (Move.LEFT in moves)
    upright = (Move.DOWN in moves) - (Move.UP in moves)
    is_bound = bool(moves - {Move.DEPTH, Move.STILL})
    is_in = Move.IN in moves or not (moves - {Move.STILL})
    return View(
        gain=0.22 * far * (is_in and Move.OUT not in moves),
        x=far * (0.11 * sideways + 0.06 * way * (Move.DEPTH in moves and not is_bound)
                 + 0.05 * way * (Move.ORBIT in moves and not sideways)),
        y=far * 0.11 * upright,
        turn=math.radians(5) * min(far, 1.6) * way * (Move.TURN in moves),
        lean=0.09 * min(far, 1.6) * way * (Move.ORBIT in moves),
        depth=0.45 * (Move.DEPTH in moves),
    )  # fmt: skip


def _moved(view: View, drift: dict[str, float]) -> View:
    return View(
        gain=view.gain,
        x=view.x + drift["x"],
        y=view.y + drift["y"],
        turn=view.turn,
        lean=view.lean,
        depth=view.depth,
    )


def _inside(corners: list[tuple[float, float]]) -> Corners:
    """Draw corners together, around their middle, until all are inside the picture."""
    middle = [sum(corner[axis] for corner in corners) / len(corners) for axis in (0, 1)]
    middle = [min(max(one, 0.25), 0.75) for one in middle]
    size = 1.0
    for corner in corners:
        for one, centre in zip(corner, middle, strict=True):
            room = (1 - _EDGE - centre) if one > centre else (centre - _EDGE)
            if abs(one - centre) > room:
                size = min(size, room / abs(one - centre))
    return tuple((middle[0] + size * (x - middle[0]), middle[1] + size * (y - middle[1]))
                 for x, y in corners)  # fmt: skip


def _between(one: Corners, other: Corners, share: float) -> Corners:
    return tuple(
        (a + share * (c - a), b + share * (d - b))
        for (a, b), (c, d) in zip(one, other, strict=True)
    )
