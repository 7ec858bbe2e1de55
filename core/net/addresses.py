"""
Which addresses are the open internet's, whatever way they are written.

Sources: IANA's special-purpose address registries (RFC 6890 and its successors), and the metadata
services of clouds that stand on public addresses.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_INNER = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",  # "this" network, unspecified
            "10.0.0.0/8",
            "100.64.0.0/10",  # carrier-grade NAT; a metadata service lives there
            "127.0.0.0/8",
            "168.63.129.16/32",  # a cloud's host services
            "169.254.0.0/16",  # link-local, most metadata services
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
            "2001::/23",  # Teredo, ORCHID and other protocol assignments
            "2001:db8::/32",
            "2002::/16",  # 6to4
            "2620:4f:8000::/48",
            "3fff::/20",
        ),
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_LOW_32 = 0xFFFFFFFF


def networks(cidrs: Iterable[str]) -> tuple[Network, ...]:
    """
    Return the networks that CIDR notations name.

    Raises:
        ValueError: one is no CIDR notation.

    """
    return _networks(tuple(cidrs))


@lru_cache(maxsize=16)
def _networks(cidrs: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(map(ip_network, cidrs))


def is_allowed(text: str, allowed: Iterable[Network] = ()) -> bool:
    """
    Whether a connection to an address may be made for a stranger.

    Args:
        text: an IPv4 or IPv6 address as the system's resolver writes it.
        allowed: networks that are allowed although they are not public.

    """
    address = _plain(ip_address(text))
    if any(address in network for network in allowed):
        return True
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    return not any(address in network for network in _INNER)


def _plain(address: Address) -> Address:
    """Return the IPv4 address inside an IPv4-mapped or NAT64 one, which is where it leads."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & _LOW_32)
    return address
