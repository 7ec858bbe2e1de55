"""A stream on its way: checked, counted, and otherwise left as it is."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

import msgspec
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from junctor.core.cards import Capability, ModelCard
from junctor.core.chat.dialect import DONE
from junctor.core.chat.flow import MAX_EVENT_BYTES, Flow, Naming, Tally, checked
from junctor.core.errors import (
    ProviderAnswerError,
    ProviderError,
    ProviderRateLimitedError,
    ProviderUnavailableError,
)

CARD = ModelCard(provider="up", id="own/model", capabilities=frozenset({Capability.CHAT}))
_ID = '"id":"chatcmpl-7","object":"chat.completion.chunk","created":7,"model":"own/model"'


def _event(choices: str, rest: str = "") -> bytes:
    return f'data: {{{_ID},"choices":[{choices}]{rest}}}\n\n'.encode()


def _said(text: str, rest: str = "") -> bytes:
    delta = json.dumps({"content": text}, ensure_ascii=False)
    return _event(f'{{"index":0,"delta":{delta},"finish_reason":null}}', rest)


ROLE = _event('{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}')
STOP = _event('{"index":0,"delta":{},"finish_reason":"stop"}')
USAGE = _event("", ',"usage":{"prompt_tokens":30,"completion_tokens":40,"total_tokens":70}')
WHOLE = ROLE + _said("Hel") + _said("สวัสดี") + STOP


async def _source(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def _flow(*pieces: bytes, wants_usage: bool = False, asked: str = "own/model") -> Flow:
    return Flow(_source(pieces), CARD, asked=asked, prompt=9, wants_usage=wants_usage)


async def _all(flow: Flow) -> bytes:
    return b"".join([item async for item in flow])


async def test_the_bytes_go_on_as_they_came() -> None:
    """Unknown fields, spaces and their order are none of our business."""
    odd = _said("Hel", ',"x_new": {"a" :[1 ]},  "usage":null')
    found = await _all(_flow(ROLE, odd, STOP, DONE))

    assert found == ROLE + odd + STOP + DONE


async def test_the_first_item_says_something() -> None:
    """A greeting waits for the first word, so that a server that then fails has not begun."""
    flow = _flow(ROLE, b": ping\n\n", _said("Hel"), STOP, DONE)

    assert await anext(flow) == ROLE + _said("Hel")
    assert flow.has_begun


async def test_an_end_with_much_room_around_it() -> None:
    """`[DONE]` is the end however much white space a server puts around it."""
    flow = _flow(ROLE, _said("Hel"), STOP, b"data:" + b" " * 99 + b"[DONE]" + b" " * 99 + b"\n\n")

    assert (await _all(flow)).endswith(STOP + DONE)


@pytest.mark.parametrize(
    "delta",
    [
        '{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]}',
        '{"reasoning_content":"hm"}',
        '{"reasoning":"hm"}',
        '{"refusal":"no"}',
        '{"content":[{"type":"text","text":"a"}]}',
        '{"audio":{"data":"AA=="}}',
    ],
)
async def test_more_than_text_is_something(delta: str) -> None:
    """Calls, thoughts, refusals and sound begin an answer, and are counted."""
    event = _event(f'{{"index":0,"delta":{delta},"finish_reason":null}}')
    flow = _flow(ROLE, event, STOP, DONE)

    assert await anext(flow) == ROLE + event
    assert flow.tally.completion >= 1


async def test_usage_that_nobody_asked_for_is_taken_and_kept() -> None:
    """We asked for it, to charge by it; the caller did not."""
    flow = _flow(WHOLE, USAGE, DONE)
    found = await _all(flow)

    assert found == WHOLE + DONE
    assert (flow.tally.prompt, flow.tally.completion) == (30, 40)


async def test_usage_that_was_asked_for_is_passed_on() -> None:
    """It is the last thing before the end."""
    assert await _all(_flow(WHOLE, USAGE + DONE, wants_usage=True)) == WHOLE + USAGE + DONE


async def test_usage_that_was_asked_for_and_not_told_is_estimated() -> None:
    """In an event of the same answer, by the caller's name of the model."""
    found = await _all(_flow(WHOLE, DONE, wants_usage=True, asked="own/model"))
    last = json.loads(found.removesuffix(DONE).rpartition(b"data: ")[2])

    assert last["usage"] == {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    assert (last["id"], last["choices"], last["model"]) == ("chatcmpl-7", [], "own/model")


async def test_a_last_chunk_with_choices_and_usage_together() -> None:
    """Its choices are the caller's, its usage is ours, and nothing is told twice or lost."""
    both = _event('{"index":0,"delta":{},"finish_reason":"stop"}', ',"usage":{"prompt_tokens":3,'
                  '"completion_tokens":4,"total_tokens":7}')  # fmt: skip
    flow = _flow(ROLE, _said("Hel"), both, DONE)
    found = await _all(flow)

    assert found == ROLE + _said("Hel") + both + DONE
    assert (flow.tally.prompt, flow.tally.completion) == (3, 4)


async def test_no_usage_is_estimated_by_text_and_pieces() -> None:
    """Four letters a token, one and a half of Thai, and a piece is a token at least."""
    flow = _flow(ROLE, _said("abcdefgh"), _said("กขคงจฉ"), _said("x"), STOP, DONE)
    await _all(flow)

    assert flow.tally.completion == 7


@pytest.mark.parametrize("usage", ['{"prompt_tokens":-1}', '{"prompt_tokens":"x"}', "[]", "7"])
async def test_usage_that_cannot_be_is_not_believed(usage: str) -> None:
    """Whoever says nonsense is charged by our own count."""
    flow = _flow(WHOLE, _event("", f',"usage":{usage}'), DONE)
    await _all(flow)

    assert (flow.tally.prompt, flow.tally.completion) == (9, 5)


async def test_a_stream_without_done_is_whole_when_its_answer_is() -> None:
    """Some servers end with the last chunk; the caller gets the end all the same."""
    assert await _all(_flow(WHOLE)) == WHOLE + DONE
    assert await _all(_flow(WHOLE.removesuffix(b"\n\n"))) == WHOLE + DONE


@pytest.mark.parametrize(
    "pieces",
    [
        (ROLE, _said("Hel")),
        (ROLE, _said("Hel"), STOP[:40]),
        (ROLE, _said("Hel"), _event('{"index":1,"delta":{"content":"b"}}'), STOP),
    ],
    ids=["after a chunk", "in a chunk", "one answer of two"],
)
async def test_a_cut_is_told(pieces: tuple[bytes, ...]) -> None:
    """What has come goes on; the end is an error, never silence."""
    flow = _flow(*pieces)
    with pytest.raises(ProviderAnswerError, match="cut its answer off"):
        await _all(flow)

    assert flow.has_begun


@pytest.mark.parametrize(
    "pieces",
    [(), (ROLE,), (b": ping\n\n",), (DONE,), (b"<html>Bad gateway</html>\n\n",)],
    ids=["nothing", "a greeting", "a comment", "the end", "a page"],
)
async def test_no_answer_is_told_before_anything_is_said(pieces: tuple[bytes, ...]) -> None:
    """Then another candidate may answer."""
    flow = _flow(*pieces)
    with pytest.raises(ProviderAnswerError):
        await anext(flow)

    assert not flow.has_begun


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ('{"message":"m","code":429}', ProviderRateLimitedError),
        ('{"message":"m","status":503}', ProviderUnavailableError),
        ('{"message":"secret sk-1","code":"server_error"}', ProviderAnswerError),
        ('"text"', ProviderAnswerError),
    ],
)
async def test_an_error_in_the_stream_is_ours(error: str, kind: type[ProviderError]) -> None:
    """Its status decides, its words stay inside."""
    with pytest.raises(kind) as caught:
        await _all(_flow(ROLE, f'data: {{"error":{error}}}\n\n'.encode()))

    assert "secret" not in str(caught.value)


async def test_numbers_and_nulls_in_the_wrong_places_break_nothing() -> None:
    """Servers that number their answers, or leave the index out, are understood."""
    odd = [
        one.replace(b'"id":"chatcmpl-7"', b'"id":7').replace(b'"index":0', b'"index":null')
        for one in (_said("Hel"), STOP)
    ]

    assert await _all(_flow(*odd, DONE)) == b"".join(odd) + DONE


async def test_an_event_that_is_no_json_is_told() -> None:
    """A proxy's page in the middle of a stream is no answer."""
    with pytest.raises(ProviderAnswerError, match="cannot be understood"):
        await _all(_flow(WHOLE, b"data: <html>\n\n"))


async def test_an_event_without_end_is_not_waited_for() -> None:
    """Memory is bounded."""
    with pytest.raises(ProviderAnswerError, match="too long"):
        await _all(_flow(b"data: ", b"x" * MAX_EVENT_BYTES))


@given(cuts=st.lists(st.integers(0, len(WHOLE + USAGE + DONE))), is_dos=st.booleans())
def test_wherever_it_is_cut_it_is_the_same(cuts: list[int], *, is_dos: bool) -> None:
    """Chunks of the network are not events; line ends may be of two characters."""
    stream = WHOLE + b": ping\n\n" + USAGE + DONE
    sent = stream.replace(b"\n", b"\r\n") if is_dos else stream
    at = sorted({0, *cuts, len(sent)})
    pieces = [sent[a:b] for a, b in pairwise(at)]
    flow = _flow(*pieces, wants_usage=True)

    assert asyncio.run(_all(flow)) == WHOLE + USAGE + DONE
    assert flow.tally.completion == 40


async def test_data_over_several_lines_is_one_event() -> None:
    """The specification allows it; the caller gets one line."""
    broken = STOP.replace(b',"choices"', b',\ndata: "choices"')
    found = await _all(_flow(ROLE, _said("Hel"), b"event: message\n" + broken, DONE))

    assert json.loads(found.split(b"\n\n")[2][5:]) == json.loads(STOP[5:])


async def test_what_comes_with_a_failure_comes_before_it() -> None:
    """Once something has been said, its words in the same piece are not lost."""
    flow = _flow(ROLE + _said("Hel"), _said("lo") + b'data: {"error":{}}\n\n' + _said("x"))
    found = [await anext(flow), await anext(flow)]

    assert found == [ROLE + _said("Hel"), _said("lo")]
    with pytest.raises(ProviderAnswerError, match="broke its answer off"):
        await anext(flow)


@pytest.mark.parametrize("error", [b"{}", b'{"code":"\xff"}'], ids=["blank", "no UTF-8"])
async def test_a_failure_in_the_first_piece_is_told_at_once(error: bytes) -> None:
    """Then nobody has heard anything, and another candidate may answer."""
    flow = _flow(ROLE + _said("Hel") + b'data: {"error":' + error + b"}\n\n")

    with pytest.raises(ProviderAnswerError, match="broke its answer off"):
        await anext(flow)


async def test_a_cut_behind_the_end_is_none() -> None:
    """The caller has had the last item, and is not told of an error behind it."""

    async def cut() -> AsyncIterator[bytes]:
        yield WHOLE + DONE
        raise ProviderAnswerError("cut", provider="p")

    flow = Flow(cut(), CARD, asked="m", prompt=0, wants_usage=False)
    found = [item async for item in flow]

    assert found[-1].endswith(DONE)


async def test_a_server_that_lingers_behind_the_end_is_left() -> None:
    """The caller has had the last item; the connection is not worth a long wait."""

    async def lingering() -> AsyncIterator[bytes]:
        yield WHOLE + DONE
        await asyncio.Event().wait()

    flow = Flow(lingering(), CARD, asked="m", prompt=0, wants_usage=False)
    async with asyncio.timeout(10):
        found = [item async for item in flow]

    assert found[-1].endswith(DONE)


def test_the_callers_name_takes_the_place_of_the_own_one() -> None:
    """Only that very name, only as the value of `model`, only once."""
    name = Naming("own", 'pub"lic')
    body = b'{"model":"own","text":"\\"model\\":\\"own\\"","more":{"model":"own"}}'

    assert name(body) == body.replace(b'"model":"own"', b'"model":"pub\\"lic"', 1)
    assert name(b'{"model": "own"}') == b'{"model": "pub\\"lic"}'
    assert name(b'{"model":"own-2026"}') == b'{"model":"own-2026"}'


async def test_a_server_that_answers_by_another_name_is_named_too() -> None:
    """What a card says its server calls it becomes the caller's name."""
    card = evolve(CARD, answers_as="other/name")
    told = WHOLE.replace(b"own/model", b"other/name") + DONE
    flow = Flow(_source([told]), card, asked="mine", prompt=0, wants_usage=False)

    assert await _all(flow) == told.replace(b"other/name", b"mine")


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"{}", b'{"choices":[]}', b'{"choices":"x"}', b'{"choices":[{}],"x":"\xff"}'],
)
def test_what_is_no_whole_answer_is_told(body: bytes) -> None:
    """An upstream that answers 200 with a page has failed."""
    with pytest.raises(ProviderAnswerError):
        checked(body, CARD, Tally(1))


def test_a_whole_answer_is_counted() -> None:
    """By what it says, else by its length."""
    told, silent = Tally(1), Tally(1)
    answer = {"choices": [{"message": {"content": "x" * 400}}]}
    checked(msgspec.json.encode(answer), CARD, silent)
    checked(
        msgspec.json.encode({**answer, "usage": {"prompt_tokens": 5, "completion_tokens": 6}}),
        CARD,
        told,
    )

    assert (told.prompt, told.completion) == (5, 6)
    assert silent.prompt == 1
    assert 100 <= silent.completion <= 120


async def test_an_empty_reason_ends_no_answer() -> None:
    """Some servers send `""` with every chunk; a cut behind it is a cut all the same."""
    said = _event('{"index":0,"delta":{"content":"Hel"},"finish_reason":""}')
    with pytest.raises(ProviderAnswerError) as refused:
        await _all(_flow(ROLE, said, said))

    assert "cut its answer off" in str(refused.value)


async def test_an_event_without_data_is_none() -> None:
    """So says the standard, and some keep their connection alive that way."""
    found = await _all(_flow(ROLE, _said("Hel"), b"data:\n\n", b"data: \n\n", STOP, DONE))

    assert found == ROLE + _said("Hel") + STOP + DONE


async def test_a_byte_order_mark_hides_no_event() -> None:
    """The standard lets a stream begin with one."""
    found = await _all(_flow(b"\xef\xbb\xbf" + _said("Hel"), STOP, DONE))

    assert found == _said("Hel") + STOP + DONE


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n"])
async def test_an_event_goes_on_with_its_last_byte(end: bytes) -> None:
    """Also where its end comes byte by byte: none waits for the next one."""
    ended = (_said("Hel")[:-2], *(end[i : i + 1] for i in range(len(end))))
    flow = _flow(*ended, STOP)
    first = await anext(flow)

    assert first == _said("Hel")


async def test_what_comes_behind_an_early_usage_is_counted() -> None:
    """Who leaves before the last word of the server pays for more than its first one."""
    early = _event("", ',"usage":{"prompt_tokens":30,"completion_tokens":1}')
    flow = _flow(ROLE, _said("a"), early, *[_said("word")] * 50)
    with pytest.raises(ProviderAnswerError):
        await _all(flow)

    assert (flow.tally.prompt, flow.tally.completion) == (30, 51)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [('{"prompt_tokens":30}', (30, 104)), ('{"completion_tokens":40}', (9, 40))],
)
def test_half_a_usage_bills_nothing_at_zero(usage: str, expected: tuple[int, int]) -> None:
    """What the server leaves out is estimated."""
    tally = Tally(9)
    body = '{"choices":[{"message":{"content":"' + "x" * 390 + '"}}],"usage":' + usage + "}"
    checked(body.encode(), CARD, tally)

    assert (tally.prompt, tally.completion) == expected


async def test_a_large_event_in_small_pieces_is_put_together_once() -> None:
    """A picture of megabytes, a packet at a time, took the event loop for half a minute."""
    large = _said("x" * 4_000_000)
    pieces = [large[at : at + 1024] for at in range(0, len(large), 1024)]
    began = time.process_time()
    found = await _all(_flow(*pieces, STOP, DONE))

    assert found == large + STOP + DONE
    assert time.process_time() - began < 2


async def test_much_before_the_first_word_is_put_together_once() -> None:
    """Thoughts in a field that nobody knows wait for the first word, and their number costs no more."""
    thought = _event('{"index":0,"delta":{"thinking":"hm"},"finish_reason":null}', " " * 2048)
    thoughts = [thought] * 8000
    started = time.process_time()
    found = await _all(_flow(*thoughts, WHOLE, DONE))

    assert found == b"".join(thoughts) + WHOLE + DONE
    assert time.process_time() - started < 5
