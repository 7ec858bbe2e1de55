"""One connection pool with two doors, and the one table from network faults to our errors."""

from junctor.core.net.bodies import Body, Upload, form_body, json_body
from junctor.core.net.events import EventParser, ServerEvent
from junctor.core.net.faults import Target, network_faults, retry_after, status_error
from junctor.core.net.pool import Pool, PoolLimits
from junctor.core.net.relay import Relay, RelayAnswer, RelayStream
from junctor.core.net.sockets import Socket

__all__ = (
    "Body",
    "EventParser",
    "Pool",
    "PoolLimits",
    "Relay",
    "RelayAnswer",
    "RelayStream",
    "ServerEvent",
    "Socket",
    "Target",
    "Upload",
    "form_body",
    "json_body",
    "network_faults",
    "retry_after",
    "status_error",
)
