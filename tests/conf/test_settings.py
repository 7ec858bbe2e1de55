import pytest

from junctor.conf.settings import JobQueue, Jobs, Secret, Server, Settings


def test_secret_does_not_show_itself():
    """Neither by repr nor by str nor inside a message."""
    secret = Secret("hunter2")

    assert "hunter2" not in f"{secret!r} {secret} {[secret]}"


def test_secret_is_revealed_on_purpose_only():
    """The one way to its value."""
    assert Secret("hunter2").reveal() == "hunter2"


def test_secrets_compare_by_value():
    """A reload sees whether one changed."""
    assert {Secret("a"), Secret("a"), Secret("b")} == {Secret("b"), Secret("a")}


def test_empty_secret_is_false():
    """`if not secret` asks whether there is one."""
    assert (bool(Secret("")), bool(Secret("x"))) == (False, True)


def test_all_settings_have_defaults():
    """Nothing has to be configured."""
    assert Settings() == Settings()


@pytest.mark.parametrize("origin", ["https://a.example", "http://[::1]:3000", "app://desk", "*"])
def test_origins_of_pages(origin):
    """As a browser writes them, or any."""
    assert Server(cors_origins=(origin,)).cors_origins == (origin,)


@pytest.mark.parametrize(
    "origin",
    ["https://a.example/", "a.example", "https://A.example", "https://*.example", "null", ""],
)
def test_origins_that_no_browser_sends(origin):
    """They would never match, or match too much; better said at the start."""
    with pytest.raises(ValueError, match="cors_origins"):
        Server(cors_origins=(origin,))


@pytest.mark.parametrize(
    "url", ["https://a.example", "http://127.0.0.1:8080", "https://[::1]:1/speech", ""]
)
def test_public_urls(url: str) -> None:
    """A scheme, a host, perhaps a port and a path: what a `ws_url` can begin with."""
    assert Server(public_url=url).public_url == url


@pytest.mark.parametrize(
    "url",
    ["a.example", "ftp://a.example", "https://a.example/", "https://me@a.example", "https://"],
)
def test_no_public_urls(url: str) -> None:
    """What would make a `ws_url` that nobody can open is refused at start."""
    with pytest.raises(ValueError, match="public_url"):
        Server(public_url=url)


def test_work_names_queues() -> None:
    """Queues that are always there, or given, may be worked on; others are a mistake."""
    queues = {"gpu": JobQueue(concurrency=2)}
    jobs = Jobs(queues=queues, work=("video", "gpu"))
    with pytest.raises(ValueError, match="'tpu' is not"):
        Jobs(queues=queues, work=("tpu",))

    assert jobs.concurrencies() == {"default": 4, "video": 1, "gpu": 2}
