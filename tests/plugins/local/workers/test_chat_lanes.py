"""Which conversations are decoded together, and how their steps are waited for."""

from attrs import evolve

from junctor.plugins.local.workers.chat_lanes import ALIKE, Decoding, Sampling, Step, alike

GREEDY = Sampling(temperature=0.0, top_k=0, top_p=1.0, repetition_penalty=1.0)


def decoding(tokens: int = 10, **fields) -> Decoding:
    return Decoding(**{"tokens": ("a",) * tokens, "sampling": GREEDY, "longest": 5, **fields})


def test_the_alike_go_together():
    """Sampled alike and about as long is one batch; anything else another."""
    short, near, far = decoding(), decoding(10 + ALIKE), decoding(11 + ALIKE)
    warm = decoding(sampling=evolve(GREEDY, temperature=0.5))

    assert [[short, near], [far], [warm]] == list(alike([far, near, warm, short]))


def test_who_wants_all_logits_goes_alone():
    """Of a batch of several prompts nobody can tell whose logits are whose."""
    curious = evolve(GREEDY, has_scores=True, has_logits=True)
    first, second = decoding(sampling=curious), decoding(sampling=curious)

    assert [[first], [second]] == list(alike([first, second]))


def test_steps_that_are_ready_come_together():
    """What a quick model says meanwhile is one item; the end comes at once."""
    one = decoding()
    for number in range(4):
        one.hear(Step(0, number, None))
    one.settle()

    assert [[0, 1, 2, 3]] == [[step.id for step in steps] for steps in one.steps(60.0)]


def test_an_answer_ends_at_its_longest():
    """The model is told to stop with the last token that is wanted."""
    one = decoding(longest=2)

    assert [False, True] == [one.hear(Step(0, number, None)) for number in range(2)]


def test_what_nobody_wants_is_stopped():
    """An answer that is over, or a conversation that was left, takes no further step."""
    one, left = decoding(answers=2), decoding()
    left.is_left = True

    assert not one.is_done([1])
    assert [False, True] == [one.hear(Step(index, 0, None)) for index in range(2)]
    assert left.hear(Step(0, 0, None))
