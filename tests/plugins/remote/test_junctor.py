"""Another junctor over a fake of it: what is asked, what is watched, what is fetched, what breaks."""

import asyncio
import base64
import gc
import json
import weakref

import pytest
from attrs import evolve

from junctor.conf.settings import Network, Secret, Settings
from junctor.core.errors import (
    ConfigError,
    NotConfiguredError,
    ProviderAnswerError,
    ProviderAuthError,
    ProviderError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.net import Target
from junctor.core.providers import Provider, VideoGenerator
from junctor.core.requests import VideoProgress, VideoRequest, VideoStage
from junctor.core.testing.pictures import picture_of
from junctor.core.testing.video import VideoConformance
from junctor.core.video.measure import measured
from junctor.plugins.remote.junctor import Junctor, JunctorSettings, junctor_providers
from tests.fakes.vendors.junctor import MODELS, SIZES, UPLOADS, VIDEOS, JunctorFake, film_of
from tests.plugins.remote.adapters import plugged
from tests.waiting import patience

PICTURE = picture_of(480, 480)
GENERATIONS = f"{VIDEOS}/generations"


@pytest.fixture(name="vendor")
def _vendor():
    return JunctorFake


@pytest.fixture(name="wish")
def _wish(tmp_path):
    return VideoRequest(
        image=PICTURE,
        prompt="Closer.",
        seconds=2,
        width=480,
        height=480,
        seed=7,
        target=tmp_path / "video.mp4",
        key="job-1",
        model="ltx23-standard",
    )


def ignore(_: VideoProgress) -> None:
    """Take a report."""


def test_sits_out_without_a_server_or_a_key():
    """The plugin says what to set."""
    here: dict[str, object] = {"base_url": "http://x"}
    with pytest.raises(NotConfiguredError, match="base_url"):
        junctor_providers(Settings())
    with pytest.raises(NotConfiguredError, match="api_key"):
        junctor_providers(Settings(plugins={"junctor": here}))


def test_its_models_are_those_of_the_contract():
    """Under their own names unless others are given, with the price that is given."""
    table: dict[str, object] = {"base_url": "http://x", "api_key": "k", "price": 0.5}
    (usual,) = junctor_providers(Settings(plugins={"junctor": table}))
    table = {**table, "aliases": {"far": "ltx23"}, "models": {"far": {"price": 0.1}}}
    (named,) = junctor_providers(Settings(plugins={"junctor": table}))

    assert isinstance(usual, VideoGenerator)
    assert {card.id for card in usual.models()} == MODELS
    assert {(card.price, card.max_seconds) for card in usual.models()} == {(0.5, 10.0)}
    assert [(card.id, card.price) for card in named.models()] == [("far", 0.1)]


def test_a_table_for_a_model_that_is_none_is_a_mistake():
    """It names what there is."""
    table: dict[str, object] = {"base_url": "http://x", "api_key": "k", "models": {"far": {}}}
    with pytest.raises(ConfigError, match="ltx23-standard"):
        junctor_providers(Settings(plugins={"junctor": table}))


async def test_the_wish_is_on_the_wire(provider, fake, wish):
    """Each field under its name, the picture whole, and the key of the job and the model."""
    await provider.generate_video(wish, ignore)
    submission = fake.seen[0]
    sent = json.loads(submission.body)
    picture = sent.pop("image")["url"].removeprefix("data:image/png;base64,")

    assert (submission.method, submission.path) == ("POST", GENERATIONS)
    assert submission.headers["x-api-key"] == fake.KEY
    assert submission.headers["Idempotency-Key"] == "job-1.ltx23-standard"
    assert base64.b64decode(picture) == PICTURE
    assert sent == {
        "model": "ltx23-standard",
        "prompt": "Closer.",
        "duration": 2,
        "aspect_ratio": "1:1",
        "resolution": "480p",
        "seed": 7,
    }
    assert not fake.problems


async def test_a_model_goes_by_its_name_there(start, fake, wish):
    """And without a key of the job no key is sent."""
    provider = await start(aliases={"far": "ltx-2.3"})
    await provider.generate_video(evolve(wish, model="far", key=""), ignore)

    assert json.loads(fake.seen[0].body)["model"] == "ltx-2.3"
    assert "Idempotency-Key" not in fake.seen[0].headers


@pytest.mark.parametrize(("shape", "size"), SIZES.items())
async def test_sizes_have_their_names(provider, fake, wish, shape, size):
    """Each size of the contract, and back."""
    fake.end = "failed"
    width, height = size
    with pytest.raises(ProviderAnswerError):
        await provider.generate_video(
            evolve(wish, image=picture_of(width, height), width=width, height=height), ignore
        )
    sent = json.loads(fake.seen[0].body)

    assert (sent["aspect_ratio"], sent["resolution"]) == shape
    assert not fake.problems


@pytest.mark.parametrize("change", [{"width": 96}, {"rate": 25}, {"model": "none"}])
async def test_what_the_contract_does_not_know_is_not_asked(provider, fake, wish, change):
    """A size, a rate and a model."""
    with pytest.raises(ProviderRejectedError):
        await provider.generate_video(evolve(wish, **change), ignore)

    assert not fake.seen


@pytest.mark.parametrize("link", ["{}", "{}?a=b://c", "own{}"])
async def test_the_file_arrives_whole(provider, fake, wish, link):
    """By a path or a URL, with our key."""
    fake.link = link.replace("own", fake.url).format(f"{UPLOADS}/{{name}}")
    await provider.generate_video(wish, ignore)
    (job,) = fake.jobs.values()

    assert wish.target.read_bytes() == film_of(job.wish)
    assert fake.seen[-1].headers["x-api-key"] == fake.KEY
    assert measured(wish.target).frames == 48


async def test_a_path_without_a_slash_is_one_all_the_same(provider, fake, wish):
    """It is relative to the server."""
    fake.link = f"{UPLOADS}/{{name}}".lstrip("/")
    await provider.generate_video(wish, ignore)

    assert measured(wish.target).seconds == 2


async def test_progress_is_passed_on(provider, fake, wish):
    """Stage, share and step; what nobody can read says nothing, and nothing goes back."""
    generating = fake.progress[1]
    fake.progress += [{"percent": "LEAK"}, ["LEAK"], None, {"stage": "storing", "percent": 10}]
    told: list[VideoProgress] = []
    await provider.generate_video(wish, told.append)

    assert (generating["percent"], generating["step"], generating["steps"]) == (40, 3, 8)
    assert [(one.stage, one.share, one.step, one.steps) for one in told] == [
        (VideoStage.LOADING, 0.0, 0, 0),
        (VideoStage.GENERATING, 0.4, 3, 8),
        *[(VideoStage.GENERATING, 0.4, 0, 0)] * 3,
        (VideoStage.ENCODING, 0.4, 0, 0),
        (VideoStage.ENCODING, 1.0, 0, 0),
    ]


async def stranger_of(fake: JunctorFake, network: Network) -> Junctor:
    settings = JunctorSettings(
        base_url=fake.url, api_key=Secret(fake.KEY), poll_interval=0.01, outage=0.01
    )
    provider = Junctor(settings, network)
    await provider.start()
    return provider


async def test_a_stranger_gets_no_key(fake, wish):
    """A file may lie elsewhere, where our key is nobody's business."""
    async with JunctorFake() as other:
        fake.link = f"{other.url}{UPLOADS}/{{name}}"
        other.jobs = fake.jobs
        provider = await stranger_of(fake, Network(allowed_private=("127.0.0.0/8",)))
        await provider.generate_video(wish, ignore)
        await provider.close()

        assert measured(wish.target).frames == 48
        assert [one.method for one in other.seen] == ["GET"]
        assert fake.KEY not in str([one.headers for one in other.seen])


@pytest.mark.parametrize(
    "link",
    ["http://127.0.0.1:1/{name}", "http://[::1]/{name}", "http://a:b@c/{name}", "file:///{name}",
     "http://[/{name}", "http://169.254.169.254/{name}"],
)  # fmt: skip
async def test_what_stands_behind_us_is_no_stranger(fake, wish, link):
    """A link to a private address, and one that is none, are no answer."""
    fake.link = link
    provider = await stranger_of(fake, Network())
    with pytest.raises(ProviderAnswerError) as caught:
        await provider.generate_video(wish, ignore)
    await provider.close()

    assert "169" not in str(caught.value)


async def test_a_stranger_that_has_no_file(fake, wish):
    """An error of theirs is no video."""
    async with JunctorFake() as other:
        fake.link = f"{other.url}{UPLOADS}/{{name}}"
        provider = await stranger_of(fake, Network(allowed_private=("127.0.0.0/8",)))
        with pytest.raises(ProviderAnswerError):
            await provider.generate_video(wish, ignore)
        await provider.close()

        assert not wish.target.read_bytes()


async def test_a_server_with_tls_sends_nobody_elsewhere_without():
    """From `https` no link leads to `http`."""
    settings = JunctorSettings(base_url="https://x.example", api_key=Secret("k"))
    provider = Junctor(settings, Network(allowed_private=("127.0.0.0/8",)))
    async with JunctorFake() as other:
        with pytest.raises(ProviderAnswerError):
            await anext(provider._pieces(f"{other.url}{UPLOADS}/a.mp4", Target("junctor")))
        await provider.close()

        assert not other.seen


@pytest.mark.parametrize(
    ("end", "kind"), [("failed", ProviderAnswerError), ("canceled", ProviderUnavailableError)]
)
async def test_a_job_without_a_video_is_an_error(provider, fake, wish, end, kind):
    """In our words, and once."""
    fake.end = end
    with pytest.raises(kind) as caught:
        await provider.generate_video(wish, ignore)
    await provider.close()

    assert "LEAK" not in str(caught.value)
    assert (len(fake.jobs), fake.cancelled) == (1, [])


async def test_a_done_job_whose_file_is_gone_is_an_error(provider, fake, wish):
    """It has expired there."""
    fake.link = f"{UPLOADS}/gone_x.mp4"
    with pytest.raises(ProviderRejectedError):
        await provider.generate_video(wish, ignore)


async def test_the_same_key_has_the_same_job(provider, fake, wish):
    """Who begins again has the video that was made, and pays once."""
    await provider.generate_video(wish, ignore)
    await provider.generate_video(wish, ignore)

    assert len(fake.jobs) == 1


async def test_a_job_cancelled_before_is_begun_anew(provider, fake, wish):
    """A run that was cancelled with its process leaves a cancelled job, which is no obstacle."""
    fake.end = "processing"
    for _ in range(2):
        task = asyncio.create_task(provider.generate_video(wish, ignore))
        await fake.until(lambda: fake.running == 1)
        task.cancel()
        await asyncio.wait([task])
        await fake.until(lambda: not fake.running)
    fake.end = "done"
    await provider.generate_video(wish, ignore)

    assert [*fake.keys] == [f"job-1.ltx23-standard{number}" for number in ("", ".2", ".3")]
    assert measured(wish.target).frames == 48


async def test_a_job_that_failed_before_is_begun_anew(provider, fake, wish):
    """Another round is another try: under the old key there would be the old failure for ever."""
    fake.end = "failed"
    with pytest.raises(ProviderAnswerError):
        await provider.generate_video(wish, ignore)
    fake.end = "done"
    await provider.generate_video(wish, ignore)

    assert [*fake.keys] == ["job-1.ltx23-standard", "job-1.ltx23-standard.2"]
    assert measured(wish.target).frames == 48


async def test_there_is_an_end_to_beginning_anew(provider, fake, wish):
    """A server that cancels whatever it gets is not asked for ever."""
    fake.queued, fake.progress, fake.end = 0, [], "canceled"
    with pytest.raises(ProviderUnavailableError):
        await provider.generate_video(wish, ignore)

    assert len(fake.jobs) == 3


@pytest.mark.parametrize("moment", ["submission", "question", "file"])
async def test_a_cancel_goes_on_to_the_other_server(provider, fake, wish, moment):
    """Once, at whatever step, unless the job is over."""
    fake.end = "done" if moment == "file" else "processing"
    path = {"submission": GENERATIONS, "question": VIDEOS, "file": UPLOADS}[moment]
    if moment == "file":
        fake.script.extend(["ok"] * 5 + ["hang"])
    task = asyncio.create_task(provider.generate_video(wish, ignore))
    await fake.until(lambda: bool(fake.seen) and fake.seen[-1].path.startswith(path))
    task.cancel()
    await asyncio.wait([task], timeout=1.0)
    assert task.cancelled()
    await provider.close()

    assert not fake.running
    assert fake.cancelled == ([] if moment == "file" else list(fake.jobs))


async def test_a_cancel_that_fails_harms_nobody(provider, fake, wish):
    """The server has no such path, or no time."""
    fake.end = "processing"
    task = asyncio.create_task(provider.generate_video(wish, ignore))
    await fake.until(lambda: fake.running == 1)
    fake.always = "missing"
    task.cancel()
    await asyncio.wait([task])
    await provider.close()

    assert task.cancelled()
    assert not fake.cancelled


async def test_a_video_that_takes_too_long_is_given_up(start, fake, wish):
    """And cancelled there."""
    fake.end = "processing"
    provider = await start(video_timeout=0.3)
    with pytest.raises(ProviderTimeoutError):
        await provider.generate_video(wish, ignore)
    await provider.close()

    assert fake.cancelled == list(fake.jobs)


FAULTS = [
    ("rate-limited", ProviderRateLimitedError, 7.0),
    ("error", ProviderUnavailableError, None),
    ("unavailable", ProviderUnavailableError, None),
    ("gateway", ProviderUnavailableError, None),
    ("unauthorized", ProviderAuthError, None),
    ("forbidden", ProviderAuthError, None),
    ("missing", ProviderRejectedError, None),
    ("quota", ProviderQuotaError, None),
    ("payment", ProviderQuotaError, None),
    ("locale", ProviderRejectedError, None),
    ("reset", ProviderUnavailableError, None),
    ("hang", ProviderTimeoutError, None),
    ("drip", ProviderTimeoutError, None),
    ("cut", ProviderAnswerError, None),
    ("malformed", ProviderAnswerError, None),
]


@pytest.mark.parametrize(
    ("case", "step"),
    [
        pytest.param(case, step, id=f"{case[0]}-{step}")
        for case in FAULTS
        for step in ("submission", "question", "file")
        if (case[0], step) != ("malformed", "file")  # the core says whether it is a video
    ],
)
async def test_every_fault_is_ours_at_every_step(start, fake, wish, case, step):
    """Submission, question and file fail as errors of ours, and tell nothing of its text."""
    fault, kind, wait = case
    fake.script.extend(["ok"] * {"submission": 0, "question": 1, "file": 5}[step])
    fake.always = fault
    provider = await start(timeout=patience(kind) / 2)
    with pytest.raises(ProviderError) as caught:
        await provider.generate_video(wish, ignore)
    fake.always = "ok"
    await provider.close()

    assert (kind, wait) == (type(caught.value), caught.value.retry_after)
    assert "LEAK" not in str(caught.value)
    assert fake.KEY not in str(caught.value)
    assert step == "submission" or not fake.running  # its answer was lost, and its id with it


async def test_hiccups_cost_nothing(start, fake, wish):
    """A video is not made, and paid, twice because of a question that failed, or a file."""
    fake.script.extend(["ok", "unavailable", "cut", "malformed", "soon", "reset", "ok", "ok"])
    fake.script.extend(["ok", "ok", "cut", "error", "ok"])
    provider = await start(outage=20.0)
    await provider.generate_video(wish, ignore)

    assert (len(fake.jobs), fake.cancelled) == (1, [])
    assert measured(wish.target).frames == 48


async def test_a_file_that_is_too_large_is_not_read(start, fake, wish):
    """The pool's bound holds for it."""
    provider = await start(connections={"max_answer_bytes": 500})
    with pytest.raises(ProviderAnswerError, match="longer than is read"):
        await provider.generate_video(wish, ignore)

    assert wish.target.stat().st_size <= 500


async def test_nothing_is_asked_for_what_cannot_be_kept(provider, fake, wish):
    """A folder that is not there is found out before anything is paid."""
    with pytest.raises(ProviderRejectedError):
        await provider.generate_video(
            evolve(wish, target=wish.target.parent / "missing" / "video.mp4"), ignore
        )

    assert not fake.seen


async def test_a_disk_that_is_full_is_an_error_of_ours(provider, wish):
    """It is told as such, and not tried again."""
    full = wish.target.with_name("full.mp4")
    full.symlink_to("/dev/full")
    with pytest.raises(ProviderRejectedError, match="cannot be written"):
        await provider.generate_video(evolve(wish, target=full), ignore)


async def test_a_failure_keeps_no_request(provider, fake, wish):
    """When a call has failed, nothing holds it, not even until the next collection."""
    fake.script.extend(["ok", "locale"])
    copy = evolve(wish)
    kept = weakref.ref(copy)
    gc.disable()
    try:
        with pytest.raises(ProviderRejectedError) as caught:
            await provider.generate_video(copy, ignore)
        del copy, caught
        await provider.close()

        assert kept() is None
    finally:
        gc.enable()


def test_the_fake_says_what_it_promises():
    """Every refusal is the contract's error, or empty."""
    for refusal in JunctorFake.refusals.values():
        assert not refusal.body or set(json.loads(refusal.body)) == {"error", "code", "request_id"}


class TestConformance(VideoConformance):
    """The kit, over the fake."""

    patience = 20.0
    module = "junctor.plugins.remote.junctor"

    @pytest.fixture
    def scene(self, wish):
        return evolve(wish, key="", model="")

    @pytest.fixture
    def provider(self, fake) -> Provider:
        self.fake = fake
        return plugged(fake)

    async def stopped(self, provider):
        await self.fake.until(lambda: not self.fake.running)
