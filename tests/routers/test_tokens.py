"""Tokens over HTTP: the same door as API keys."""

import time
from pathlib import Path

import httpx
import pytest

from junctor.conf.settings import Secret, Tokens
from junctor.core.testing.fakes import FakeTranscriber
from junctor.core.tokens import issue
from tests.fakes.server import server_settings, serving

TOKENS = Tokens(secret=Secret("0123456789abcdef0123456789abcdef"))


@pytest.mark.parametrize(("ttl", "status"), [(60, 200), (-60, 401)])
async def test_token_opens_the_door(tmp_path: Path, ttl: float, status: int) -> None:
    """A good token is served; one that is over gets 401 and is told so, without being repeated."""
    token = issue(TOKENS, team="acme", ttl=ttl, now=time.time())
    async with (
        serving(server_settings(tmp_path, tokens=TOKENS), FakeTranscriber()) as served,
        httpx.AsyncClient(base_url=served.url, trust_env=False) as client,
    ):
        answer = await client.get("/v1/models", headers={"Authorization": f"Bearer {token}"})

    assert (answer.status_code, "has expired" in answer.text) == (status, status == 401)
    assert token not in answer.text
