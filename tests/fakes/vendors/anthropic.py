"""Anthropic's Messages API, as its documentation and SDK 2.11.0 have it (November 2026)."""

from typing import ClassVar

import jsonschema
import msgspec
from aiohttp import web

from tests.fakes.vendors.base import Refusal, VendorFake

MODELS = frozenset({"claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5", "claude-fable-5-2"})
VERSIONS = frozenset({"2023-06-01", "2026-10-21"})
REQUIRED = frozenset({"model", "max_tokens", "messages"})
OPTIONAL = frozenset(
    {
        *("system", "stop_sequences", "stream", "tools", "tool_choice", "thinking"),
        *("output_config", "metadata", "service_tier"),
    }
)


def _refusal(status: int, kind: str, headers: dict[str, str] | None = None) -> Refusal:
    error = {"type": kind, "message": "LEAK what went wrong"}
    document = {"type": "error", "error": error, "request_id": "req_LEAK"}
    return Refusal(status=status, body=msgspec.json.encode(document), headers=headers or {})


class AnthropicFake(VendorFake):
    """Mends the words of `fixes`, wherever they are in a transcript."""

    VENDOR = "anthropic"
    MODEL = "claude-sonnet-5-5"
    refusals: ClassVar[dict[str, Refusal]] = {
        "rate-limited": _refusal(429, "rate_limit_error", {"retry-after": "7"}),
        "error": _refusal(500, "api_error"),
        "unavailable": _refusal(503, "api_error"),
        "unauthorized": _refusal(401, "authentication_error"),
        "quota": _refusal(402, "billing_error"),
        "locale": _refusal(400, "invalid_request_error"),
        "permission": _refusal(403, "permission_error"),
        "missing": _refusal(404, "not_found_error"),
        "too-large": _refusal(413, "request_too_large"),
        "gateway-timeout": _refusal(504, "timeout_error"),
        "overloaded": _refusal(529, "overloaded_error"),
    }

    def __init__(self) -> None:
        super().__init__()
        self.fixes = {"wurld": "world"}
        self.stop_reason: str | None = "end_turn"
        self.content: list[dict[str, object]] | None = None
        """What it says instead."""

    def settings_table(self) -> dict[str, object]:
        """Return the table that points the plugin here."""
        return {"api_key": self.KEY, "base_url": self.url}

    def routes(self) -> list[web.AbstractRouteDef]:
        """Return the path of the API."""
        return [web.post("/v1/messages", self._reply)]

    def _refuse(self, name: str) -> web.Response:
        one = self.refusals[name]
        return web.Response(status=one.status, body=one.body, content_type="application/json")

    async def _reply(self, request: web.Request) -> web.Response:
        if not self.check(request.headers.get("x-api-key") == self.KEY, "wrong key"):
            return self._refuse("unauthorized")
        document = await request.json()
        if not self._is_right(request, document):
            return self._refuse("locale")
        content = self.content or [
            {"type": "thinking", "thinking": "LEAK", "signature": "s"},
            {"type": "text", "text": self._mended(document), "citations": None},
        ]
        return web.json_response(
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": document["model"],
                "content": content,
                "stop_reason": self.stop_reason,
                "stop_sequence": None,
                "usage": {"input_tokens": 10, "output_tokens": 20},
            }
        )

    def _is_right(self, request: web.Request, document: dict[str, object]) -> bool:
        version = request.headers.get("anthropic-version")
        fields = document.keys()
        tokens = document.get("max_tokens")
        return (
            self.check(version in VERSIONS, f"no such version {version}")
            and self.check(request.content_type == "application/json", "not JSON")
            and self.check(REQUIRED <= fields <= REQUIRED | OPTIONAL, f"odd fields {fields}")
            and self.check(document["model"] in MODELS, "no such model")
            and self.check(isinstance(tokens, int) and tokens > 0, "odd max_tokens")
            and self.check(isinstance(document.get("system", ""), str), "odd system")
            and self._has_messages(document["messages"])
            and self._has_format(document.get("output_config"))
        )

    def _has_messages(self, messages: object) -> bool:
        shape = list[dict[str, str]]
        roles = [one["role"] for one in msgspec.convert(messages, shape)]
        return self.check(roles == ["user"], f"odd roles {roles}")

    def _has_format(self, config: object) -> bool:
        wish = msgspec.convert(config, dict[str, dict[str, object]])["format"]
        self.check(wish.keys() == {"type", "schema"}, "odd format")
        self.schema = msgspec.convert(wish["schema"], dict[str, object])
        jsonschema.Draft202012Validator.check_schema(self.schema)
        return self.check(wish["type"] == "json_schema", "no such format")

    def _mended(self, document: dict[str, object]) -> str:
        messages = msgspec.convert(document["messages"], list[dict[str, str]])
        transcript = msgspec.json.decode(messages[0]["content"])
        corrections = []
        for segment in transcript["segments"]:
            text = segment["text"]
            for wrong, right in self.fixes.items():
                text = text.replace(wrong, right)
            if text != segment["text"]:
                corrections.append({"id": segment["id"], "text": text})
        answer = {"corrections": corrections}
        jsonschema.validate(answer, self.schema)
        return msgspec.json.encode(answer).decode()
