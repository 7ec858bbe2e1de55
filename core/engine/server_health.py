"""How a running model server says that it is well, and what it serves."""

from collections.abc import Mapping

from attrs import field, frozen
from msgspec import MsgspecError, Struct, json

from junctor.core.errors import ProviderError
from junctor.core.net import Pool, Target


class _Model(Struct):
    id: str


class _Models(Struct):
    data: list[_Model]


_models = json.Decoder(_Models)


@frozen(kw_only=True)
class HealthCheck:
    """Where to look, and as whom."""

    name: str
    """Who it is in errors."""
    path: str
    """Answers 200 when all is well."""
    headers: Mapping[str, str] = field(repr=False)
    """Sent with each look."""
    timeout: float
    """Time that one look may take, seconds."""

    async def is_well(self, pool: Pool, url: str) -> bool:
        """Whether the server at this URL answers, and with 200."""
        return await self._get(pool, url + self.path) is not None

    async def lists(self, pool: Pool, url: str, model: str) -> bool:
        """Whether it lists a model of this name in `/v1/models`."""
        body = await self._get(pool, f"{url}/v1/models")
        try:
            return body is not None and any(one.id == model for one in _models.decode(body).data)
        except (MsgspecError, UnicodeDecodeError, RecursionError):
            return False

    async def _get(self, pool: Pool, url: str) -> bytes | None:
        target = Target(provider=self.name)
        try:
            answer = await pool.relay.request(
                "GET", url, headers=self.headers, target=target, within=self.timeout
            )
            return answer.checked(target)
        except ProviderError:
            return None
