"""Where outgoing requests may go. Pure."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from watchbill.base.errors import Invalid

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Reachable by nobody's declaration: cloud metadata services hand out credentials.
_NEVER = [ipaddress.ip_network(text) for text in ("169.254.169.254/32", "fd00:ec2::254/128", "100.100.100.200/32")]
#: What is no address of the public Internet (IANA's special-purpose registries, and clouds' own): a list of our own, since what Python
#: calls global depends on its patch level.
_NOT_PUBLIC = [
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
        "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
        "::/8", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
        "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    )
]  # fmt: skip
#: IPv6 networks whose addresses carry an IPv4 one, and how many bits stand behind it. That one is judged, and nothing else of it.
_CARRIERS = [
    (ipaddress.IPv6Network(network), shift)
    for network, shift in (
        ("::ffff:0:0/96", 0), ("::ffff:0:0:0/96", 0), ("::/96", 0), ("64:ff9b::/96", 0), ("2002::/16", 80),
    )
]  # fmt: skip


class NotAllowed(Invalid):
    """The hub may not reach this address."""


@dataclass(frozen=True)
class Policy:
    """``declared`` hosts and networks may be private; when ``only`` is set, nothing else may be reached at all."""

    declared_hosts: frozenset[str] = frozenset()
    declared_networks: tuple[Network, ...] = ()
    only: frozenset[str] = frozenset()

    def with_url(self, url: str) -> "Policy":
        """The same, with one more declared host: an administrator's own setting named it."""
        host = (urlsplit(url).hostname or "").lower()
        return Policy(
            self.declared_hosts | {host}, self.declared_networks, self.only | {host} if self.only else self.only
        )


def read_policy(outbound: str, only: str) -> Policy:
    """Reads WATCHBILL_OUTBOUND and WATCHBILL_OUTBOUND_ONLY."""
    hosts, networks = set(), []
    for part in filter(None, (piece.strip().lower() for piece in outbound.split(","))):
        try:
            networks.append(ipaddress.ip_network(part, strict=False))
        except ValueError:
            hosts.add(part)
    return Policy(
        frozenset(hosts), tuple(networks), frozenset(filter(None, (piece.strip().lower() for piece in only.split(","))))
    )


def check_url(url: str, policy: Policy) -> tuple[str, str, int]:
    """Scheme, host and port of a URL that may be asked. Raises Invalid with the reason."""
    if any(ord(char) <= 32 or ord(char) == 127 for char in url) or "\\" in url:
        raise Invalid("The address holds spaces or control characters.", field="url")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Invalid("The address cannot be read.", field="url") from None
    host = (parts.hostname or "").lower().rstrip(".")
    if parts.scheme not in {"http", "https"} or not host:
        raise Invalid("The address must begin with http:// or https:// and name a host.", field="url")
    if parts.username or parts.password:
        raise Invalid("The address must not hold a user name or password.", hint="Store them as a secret.", field="url")
    check_host(host, policy)
    return parts.scheme, host, port or (443 if parts.scheme == "https" else 80)


def check_host(name: str, policy: Policy, *, field: str = "url") -> str:
    """The host as it is looked up: lower case, without the brackets of an IPv6 address and the dot of the root. Raises NotAllowed with the setting."""
    host = name.strip("[]").lower().rstrip(".")
    if policy.only and host not in policy.only:
        raise NotAllowed(
            f"{host} is not among the hosts that this hub may reach.",
            hint=f"An operator adds {host} to WATCHBILL_OUTBOUND_ONLY and restarts the hub.",
            field=field,
        )
    return host


def _embedded(address: Address) -> Address:
    """The IPv4 address inside of an IPv6 one that carries it: mapped, translated, compatible, NAT64, 6to4, Teredo."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.teredo:
        return address.teredo[1]
    for network, shift in _CARRIERS:
        # “::” and “::1” are addresses of their own.
        if address in network and int(address) > 1:
            return ipaddress.IPv4Address((int(address) >> shift) & 0xFFFFFFFF)
    return address


def _is_public(address: Address) -> bool:
    if any(address.version == network.version and address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not address.is_multicast


def check_addresses(host: str, addresses: Iterable[str], policy: Policy) -> list[str]:
    """The addresses of a host, when *all* of them may be reached. Raises Invalid with the reason.

    All, not some: a name that answers with a public and a private address is how rebinding begins.
    """
    found = list(addresses)
    if not found:
        raise Invalid(f"{host} has no address.", field="url")
    for text in found:
        address = _embedded(ipaddress.ip_address(text.split("%")[0]))
        if any(address.version == network.version and address in network for network in _NEVER):
            raise NotAllowed(f"{host} leads to a metadata service, which is never reached.", field="url")
        if host in policy.declared_hosts or any(
            address.version == n.version and address in n for n in policy.declared_networks
        ):
            continue
        if not _is_public(address):
            raise NotAllowed(
                f"{host} leads to {address}, a private or local address.",
                hint=f"If that is meant, an operator adds {host} to WATCHBILL_OUTBOUND and restarts the hub.",
                field="url",
            )
    return found
