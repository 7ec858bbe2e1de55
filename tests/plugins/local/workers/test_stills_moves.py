"""Words of a prompt, and the way of the camera that comes of them."""

import itertools

import pytest

from junctor.plugins.local.workers.stills_moves import (
    WHOLE,
    Move,
    eased,
    moves_in,
    path_of,
    strength_of,
)

WIDE = 16 / 9
PROMPTS = [
    "", "zoom in", "zoom out", "pan left", "pan right", "tilt up", "tilt down", "rotate", "orbit",
    "dolly in", "dolly out", "parallax", "fast dramatic zoom in while panning right and tilting up",
    "zoom out, rotate, orbit and parallax, fast, dramatic",
]  # fmt: skip


def middle(corners):
    """Return the centre of what is seen."""
    return tuple(sum(corner[axis] for corner in corners) / 4 for axis in (0, 1))


def width(corners):
    """Return how wide what is seen is."""
    return corners[1][0] - corners[0][0]


def end(prompt, seed=0):
    """Return what is seen last."""
    return path_of(prompt, seed=seed, aspect=WIDE).at(1.0)


@pytest.mark.parametrize(
    ("prompt", "moves"),
    [
        ("Slowly zoom in on her face", {Move.IN}),
        ("The camera pushes in", {Move.IN}),
        ("Zoom out to reveal the valley", {Move.OUT}),
        ("camera pulls back", {Move.OUT}),
        ("Pan to the left", {Move.LEFT}),
        ("the camera moves gently to the right", {Move.RIGHT}),
        ("tilt up", {Move.UP}),
        ("Camera pans slowly downwards", {Move.DOWN}),
        ("pan right and zoom in", {Move.RIGHT, Move.IN}),
        ("pan up-left", {Move.UP, Move.LEFT}),
        ("dolly in", {Move.IN, Move.DEPTH}),
        ("a subtle parallax", {Move.DEPTH}),
        ("the camera orbits the statue", {Move.ORBIT}),
        ("rotate the picture", {Move.TURN}),
        ("static camera", {Move.STILL}),
        ("ซูมเข้าช้าๆ", {Move.IN}),
        ("กล้องค่อยๆ ถอยออก", {Move.OUT}),
        ("แพนกล้องไปทางซ้าย", {Move.LEFT}),
        ("เลื่อนกล้องไปทางขวา", {Move.RIGHT}),
        ("แพนกล้องขึ้นด้านบน", {Move.UP}),
        ("ก้มกล้องลง", {Move.DOWN}),
        ("หมุนภาพเล็กน้อย", {Move.TURN}),
        ("โคจรรอบพระพุทธรูป", {Move.ORBIT}),
        ("พารัลแลกซ์แบบสามมิติ", {Move.DEPTH}),
        ("ซูมออกพร้อมแพนไปทางขวา", {Move.OUT, Move.RIGHT}),
        ("กล้องนิ่ง", {Move.STILL}),
    ],
)
def test_finds_moves_in_words(prompt, moves):
    """What a prompt asks of the camera is found, in English and in Thai."""
    assert moves == moves_in(prompt)


@pytest.mark.parametrize(
    "prompt",
    [
        "", "A cat sleeps on the left of a red sofa", "right after the rain",
        "don't pan left", "don\u2019t pan left", "แมวนอนอยู่ทางซ้าย", "ไม่ต้องแพนกล้องไปทางซ้าย",
        "no motion blur", "pan left and pan right", "🙂" * 500, "(((", "zoom",
    ],
)  # fmt: skip
def test_finds_none_where_none_is_asked_for(prompt):
    """A side that is only told of, a move that is refused and two that undo each other are none."""
    assert not moves_in(prompt)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("between", ["-", "'", " -", "a-", "a' ", "- a"])
@pytest.mark.parametrize("start", ["pan ", "Slow pan across the town\n"])
def test_a_long_rule_is_read_at_once(start, between):
    """What stands behind a word for moving costs no more the longer it is, whatever it is."""
    assert not moves_in(start + between * 1600)


@pytest.mark.parametrize(
    ("prompt", "strength"),
    [
        ("zoom in", 1.0), ("slowly zoom in", 0.6), ("a gentle zoom in", 0.6), ("fast zoom in", 1.5),
        ("dramatic zoom in", 1.6), ("ซูมเข้าช้าๆ", 0.6), ("ซูมเข้าเร็วๆ", 1.5), ("ช้างเดินเข้าหา", 1.0),
        ("slow and dramatic", 0.96),
    ],
)  # fmt: skip
def test_words_say_how_far(prompt, strength):
    """Slow goes less far, fast and dramatic farther; an elephant is not slow."""
    assert strength == pytest.approx(strength_of(prompt))


@pytest.mark.parametrize(
    ("prompt", "axis", "sign"),
    [("pan left", 0, -1), ("pan right", 0, 1), ("tilt up", 1, -1), ("tilt down", 1, 1)],
)
@pytest.mark.parametrize("seed", [0, 7, 2**31 - 1])
def test_goes_where_it_is_told(prompt, axis, sign, seed):
    """What is seen last lies on the side that was named, whatever the seed."""
    assert 0.05 < sign * (middle(end(prompt, seed))[axis] - 0.5) < 0.35


def test_zooms():
    """In shows less at the end; out shows less on the way, and all at the end."""
    out = path_of("zoom out", seed=0, aspect=WIDE)

    assert width(end("slowly zoom in")) > width(end("zoom in")) > width(end("zoom in fast"))
    assert width(end("zoom in")) < 0.85
    assert width(out.at(0.3)) < 0.85
    assert WHOLE == out.at(1.0)


def test_what_is_below_is_near():
    """Going in with depth, what is at the bottom grows more than what is at the top."""
    (left, _), (right, _), (lower_right, _), (lower_left, _) = end("dolly in")

    assert lower_right - lower_left < right - left - 0.05


def test_a_still_camera_stays():
    """Whoever asks for no move at all gets none."""
    path = path_of("static camera", seed=3, aspect=WIDE)

    assert {WHOLE} == {path.at(number / 10) for number in range(11)}


@pytest.mark.parametrize(
    "prompt",
    [
        "do not zoom", "Don't zoom in.", "don\u2019t zoom in", "no zoom, no pan", "without zooming in",
        "no camera movement", "do not move the camera", "the camera does not move", "อย่าซูม", "ไม่ต้องซูมเข้า",
    ],
)  # fmt: skip
def test_a_refused_zoom_is_not_done(prompt):
    """Whoever only says that there is to be no zoom, or no move, gets no gentle zoom instead."""
    assert path_of(prompt, seed=3, aspect=WIDE).at(1.0) == WHOLE


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("aspect", [WIDE, 1 / WIDE, 1.0])
def test_never_looks_beside_the_picture(prompt, aspect):
    """Every way begins with the whole picture and never leaves it, whatever the seed."""
    paths = [path_of(prompt, seed=seed, aspect=aspect) for seed in (0, 1, 12345, 2**31 - 1)]
    looks = [path.at(number / 100) for path in paths for number in range(101)]

    assert {WHOLE} == {path.at(0.0) for path in paths}
    assert all(-1e-9 <= one <= 1 + 1e-9 for look in looks for corner in look for one in corner)
    assert min(width(look) for look in looks) > 0.4


@pytest.mark.parametrize("prompt", [one for one in PROMPTS if "out" not in one])
def test_goes_one_way_and_eases(prompt):
    """No corner turns back, and none starts, stops or speeds up with a jolt."""
    path = path_of(prompt, seed=5, aspect=WIDE)
    looks = [path.at(number / 119) for number in range(120)]
    for corner, axis in itertools.product(range(4), (0, 1)):
        places = [look[corner][axis] for look in looks]
        steps = [b - a for a, b in itertools.pairwise(places)]
        jolts = [abs(b - a) for a, b in itertools.pairwise(steps)]

        assert all(step >= -1e-12 for step in steps) or all(step <= 1e-12 for step in steps)
        assert max(jolts, default=0) <= 6 * abs(places[-1] - places[0]) / 119**2 + 1e-12


def test_a_seed_gives_the_same_way_again():
    """The same seed gives the same way, another one leads a little aside."""
    assert end("pan left", 1) == end("pan left", 1) != end("pan left", 2)


def test_easing_rests_at_both_ends():
    """It goes from 0 to 1, half of it in half of the time, and hardly at all at the ends."""
    assert [0.0, 0.5, 1.0] == [eased(0.0), eased(0.5), eased(1.0)]
    assert eased(0.01) < 2e-5
    assert 1 - eased(0.99) < 2e-5
