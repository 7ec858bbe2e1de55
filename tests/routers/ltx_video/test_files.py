"""The files of jobs: whole, in ranges, and gone."""

from pathlib import Path

import pytest

from junctor.conf.settings import LtxVideo
from junctor.routers.ltx_video.files import Span, span_of
from tests.routers.ltx_video.house import house, studio, submitted, until


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("", Span(0, 10, is_part=False)),
        ("bytes=0-", Span(0, 10)),
        ("bytes=0-0", Span(0, 1)),
        ("bytes=2-5", Span(2, 4)),
        ("bytes=5-99", Span(5, 5)),
        ("bytes=-3", Span(7, 3)),
        ("bytes=-99", Span(0, 10)),
        ("bytes=10-", None),
        ("bytes=-0", None),
        ("bytes=5-2", Span(0, 10, is_part=False)),
        ("bytes=0-1,3-4", Span(0, 10, is_part=False)),
        ("bytes=-", Span(0, 10, is_part=False)),
        ("lines=0-1", Span(0, 10, is_part=False)),
        ("bytes=9999999999999999-", Span(0, 10, is_part=False)),
    ],
)
def test_ranges(header: str, span: Span | None) -> None:
    """As RFC 9110 reads them; what is not understood means all."""
    assert span == span_of(header, 10)


async def test_parts_of_a_file(tmp_path: Path) -> None:
    """206 with the part, 416 beyond the end, 304 for what is known; nobody is asked for a key."""
    async with house(tmp_path, studio()) as (_, client):
        url = (await until(client, await submitted(client)))["video"]["url"]
        client.headers.pop("Authorization")
        whole = await client.get(url)
        part = await client.get(url, headers={"Range": "bytes=100-199"})
        beyond = await client.get(url, headers={"Range": "bytes=99999999-"})
        known = await client.get(url, headers={"If-None-Match": whole.headers["etag"]})
        head = await client.head(url)
        stale = await client.get(url, headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    size = len(whole.content)

    assert [200, 206, 416, 304, 200, 200] == [
        one.status_code for one in (whole, part, beyond, known, head, stale)
    ]
    assert whole.content[100:200] == part.content
    assert f"bytes 100-199/{size}" == part.headers["content-range"]
    assert f"bytes */{size}" == beyond.headers["content-range"]
    assert (str(size), b"") == (head.headers["content-length"], head.content)
    assert size == len(stale.content)


async def test_a_file_that_was_lost(tmp_path: Path) -> None:
    """404 in the contract's envelope where somebody deleted it under us, no answer that is cut off."""
    async with house(tmp_path, studio()) as (_, client):
        url = (await until(client, await submitted(client)))["video"]["url"]
        for path in (tmp_path / "artefacts").glob("*-*"):
            path.unlink()
        lost = await client.get(url)

    assert (404, "not_found") == (lost.status_code, lost.json()["code"])


async def test_what_is_known_already(tmp_path: Path) -> None:
    """304 for any of the tags and for `*`, with no length but the file's; a part is not asked for by HEAD."""
    async with house(tmp_path, studio()) as (_, client):
        url = (await until(client, await submitted(client)))["video"]["url"]
        head = await client.head(url, headers={"Range": "bytes=0-9"})
        etag = head.headers["etag"]
        known = [
            await client.get(url, headers={"If-None-Match": tags})
            for tags in ("*", f'"a", W/{etag}', f"{etag},", etag.strip('"'), '"b"')
        ]

    assert (200, True) == (head.status_code, int(head.headers["content-length"]) > 10)
    assert [304, 304, 304, 200, 200] == [one.status_code for one in known]
    assert "0" not in [one.headers.get("content-length") for one in known]


async def test_no_longer_than_it_is_kept(tmp_path: Path) -> None:
    """A browser's cache keeps a file as long as the server does, an hour at most."""
    ages = []
    for folder, hours in ((tmp_path / "a", 0.5), (tmp_path / "b", 24.0)):
        async with house(folder, studio(), ltx_video=LtxVideo(retention_hours=hours)) as (
            _,
            client,
        ):
            url = (await until(client, await submitted(client)))["video"]["url"]
            control = (await client.head(url)).headers["cache-control"]
            ages.append(int(control.partition("max-age=")[2].partition(",")[0]))

    assert (True, 3600) == (1700 < ages[0] <= 1800, ages[1])


@pytest.mark.parametrize(
    "name",
    [
        "ltx23_av_20261121_" + "0" * 32 + ".mp4",
        "ltx23_in_20261121_" + "0" * 32 + ".png",
        "..%2f..%2fjunctor.db",
        "ltx23_av_20261121_x.mp4",
    ],
)
async def test_no_such_file(tmp_path: Path, name: str) -> None:
    """404 in the contract's envelope."""
    async with house(tmp_path, studio()) as (_, client):
        missing = await client.get(f"/uploads/generations/ltx23/{name}")

    assert (404, "not_found") == (missing.status_code, missing.json()["code"])


async def test_a_picture_is_no_video(tmp_path: Path) -> None:
    """The id of a picture under the name of a video is nothing."""
    async with house(tmp_path, studio()) as (_, client):
        await until(client, await submitted(client))
        picture = (await client.get("/api/ltx23/v1/videos")).json()["data"][0]["image_url"]
        crossed = await client.get(picture.replace("_in_", "_av_").replace(".png", ".mp4"))

    assert 404 == crossed.status_code
