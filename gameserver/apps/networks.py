"""Networks that a definition lists: from where somebody may call, or where to."""

import ipaddress
from collections.abc import Iterator, Sequence
from functools import lru_cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def network_mistakes(key: str, networks: Sequence[str]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield texts that are no networks, as `Settings.mistakes` does."""
    for index, text in enumerate(networks):
        try:
            _network(text)
        except ValueError as error:
            yield (key, index), f"expected an address or a network such as 10.1.0.0/16: {error}"


def admits(networks: Sequence[str], address: str) -> bool:
    """Tell whether an address is in one of the networks, or there are none. What is no address never is."""
    try:
        caller = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(caller, ipaddress.IPv6Address) and caller.ipv4_mapped:
        caller = caller.ipv4_mapped  # how an IPv4 caller looks on a socket that serves both
    return not networks or any(caller in _network(text) for text in networks)


@lru_cache(1024)
def _network(text: str) -> Network:
    return ipaddress.ip_network(text)
