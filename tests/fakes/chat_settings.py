"""Settings of a server that stands before chat upstreams named `one`, `two`, `three`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from junctor.conf.settings import Breaker, Limits, Model, Policy, Settings, Team
from tests.fakes.chat_upstream import ChatUpstream
from tests.fakes.server import server_settings

NAMES = ("one", "two", "three")
CONTEXT, LONGEST = 100, 50
"""Tokens that the model `small` takes in all, and writes at most."""
PATIENT = Policy(attempts_per_candidate=1)
IMPATIENT = Policy(attempts_per_candidate=1, max_attempt=0.3)
"""For upstreams that fall silent; a crowded machine may be slower than that elsewhere."""
MODELS = {
    "own": {"capabilities": ["chat"]},
    "small": {
        "capabilities": ["chat"],
        "context_tokens": CONTEXT,
        "max_output_tokens": LONGEST,
    },
    "plain": {"capabilities": ["chat"], "chat_features": []},
}


def chat_settings(folder: Path, upstreams: Sequence[ChatUpstream], **more: Any) -> Settings:
    """
    Return settings whose data is in `folder`.

    `chat` asks the first upstream and then the second, `alone` the first only, `pool` all of them.
    """
    providers = {
        name: {"base_url": one.base_url, "api_key": "sk-of-junctor", "models": MODELS}
        for name, one in zip(NAMES, upstreams, strict=False)
    }
    own = tuple(f"{name}:own" for name in providers)
    values = {
        "default_model": "chat",
        "models": {
            "chat": Model(chain=own[:2]),
            "alone": Model(chain=own[:1]),
            "small": Model(chain=("one:small",)),
            "plain": Model(chain=("one:plain",)),
            "pool": Model(pool=own),
        },
        "policy": PATIENT,
        "breaker": Breaker(failures=1000, open_for=0.001, open_for_max=0.001),
        "limits": Limits(request_timeout=20),
        "team_defaults": Team(requests_per_minute=100_000),
        "plugins": {"openai": {"providers": providers}},
        **more,
    }
    return server_settings(folder, **values)
