"""The plugin's table: two services, each with credentials of its own."""

from typing import Annotated

from msgspec import Meta, field

from junctor.conf.settings import Secret
from junctor.core.errors import ConfigError, NotConfiguredError
from junctor.plugins.remote.vendor import VendorSettings

NAME = "google"
Location = Annotated[str, Meta(pattern=r"^[a-z0-9-]*$")]


class GoogleSettings(VendorSettings, frozen=True, kw_only=True):
    """`[plugins.google]`; `api_key` is Gemini's, and `base_url` stands for all of Google's hosts."""

    access_token: Secret = field(default_factory=lambda: Secret(""))
    """OAuth2 token for Speech-to-Text that something else renews; comes before `service_account`."""
    service_account: Secret = field(default_factory=lambda: Secret(""))
    """Key of a service account for Speech-to-Text: the path of its JSON file, or the JSON itself."""
    project: Annotated[str, Meta(pattern=r"^[a-z0-9.:-]*$")] = ""
    """Google Cloud project of Speech-to-Text; empty for the service account's own."""
    location: Location = ""
    """Where Speech-to-Text runs; empty for `us` (chirp_3), `us-central1` (chirp_2), `global`."""
    locations: dict[str, Location] = field(default_factory=dict)
    """The same for single models, by id."""

    @property
    def has_speech(self) -> bool:
        """Whether there are credentials for Speech-to-Text."""
        return bool(self.access_token or self.service_account)


def checked(table: GoogleSettings) -> GoogleSettings:
    """
    Let pass a table that has credentials for one service at least.

    Raises:
        NotConfiguredError: it has none.
        ConfigError: a key cannot go into a header, or a token comes without its project.

    """
    if not table.api_key and not table.has_speech:
        raise NotConfiguredError(
            f"no credentials: set `api_key` (Gemini), or `service_account` or `access_token` "
            f"(Speech-to-Text) in [plugins.{NAME}]"
        )
    for key in ("api_key", "access_token"):
        text: str = getattr(table, key).reveal()
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ConfigError(
                "Expected visible ASCII characters only; is there a line end or a quote too many?",
                key=f"plugins.{NAME}.{key}",
            )
    if table.access_token and not table.project:
        raise ConfigError(
            "An access_token does not tell its project: set it.", key=f"plugins.{NAME}.project"
        )
    return table
