"""``ip`` and ``cidr``: addresses and networks."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rules.cel.functions.registry import function, method
from rules.cel.values import TYPES, Opaque, Type

if TYPE_CHECKING:  # the module is costly to import, and few expressions name an address
    from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface


@dataclass(frozen=True, slots=True)
class Ip(Opaque):
    """An address."""

    cel_type: ClassVar[Type] = TYPES["net.IP"]
    address: "IPv4Address | IPv6Address"

    def __str__(self) -> str:
        return str(self.address)


@dataclass(frozen=True, slots=True)
class Cidr(Opaque):
    """A network with the address that it was written with."""

    cel_type: ClassVar[Type] = TYPES["net.CIDR"]
    interface: "IPv4Interface | IPv6Interface"

    def __str__(self) -> str:
        return str(self.interface)


def _parse_ip(text: str) -> Ip:
    import ipaddress

    _refuse_mixed(text)
    return Ip(ipaddress.ip_address(text))


def _parse_cidr(text: str) -> Cidr:
    import ipaddress

    _refuse_mixed(text)
    if not text.rpartition("/")[2].isdecimal() or not text.isascii() or "/" not in text:
        raise ValueError(f"{text[:60]!r} is not a network: an address with a prefix length, as in 10.0.0.0/8")
    return Cidr(ipaddress.ip_interface(text))


def _refuse_mixed(text: str) -> None:
    """Refuse what Python's library reads and CEL does not: zones, and IPv4 inside IPv6."""
    if "%" in text or (":" in text and "." in text):
        raise ValueError(f"{text[:60]!r} is neither an IPv4 nor an IPv6 address without a zone")


@function("ip")
def _ip_of_string(text: str) -> Ip:
    return _parse_ip(text)


@function("ip")
def _ip_of_ip(address: Ip) -> Ip:
    return address


@function("cidr")
def _cidr_of_string(text: str) -> Cidr:
    return _parse_cidr(text)


@function("cidr")
def _cidr_of_cidr(network: Cidr) -> Cidr:
    return network


@function("isIP")
def _is_ip(text: str) -> bool:
    try:
        _parse_ip(text)
    except ValueError:
        return False
    return True


@function("isCIDR")
def _is_cidr(text: str) -> bool:
    try:
        _parse_cidr(text)
    except ValueError:
        return False
    return True


@function("ip.isCanonical")
def _is_canonical(text: str) -> bool:
    return str(_parse_ip(text)) == text


@function("string")
def _string_of_address(value: Ip | Cidr) -> str:
    return str(value)


@method("family")
def _family(address: Ip) -> int:
    return address.address.version


@method("isUnspecified")
def _is_unspecified(address: Ip) -> bool:
    return address.address.is_unspecified


@method("isLoopback")
def _is_loopback(address: Ip) -> bool:
    return address.address.is_loopback


@method("isLinkLocalUnicast")
def _is_link_local_unicast(address: Ip) -> bool:
    return address.address.is_link_local


@method("isLinkLocalMulticast")
def _is_link_local_multicast(address: Ip) -> bool:
    packed = address.address.packed
    if address.address.version == 4:
        return packed[:3] == b"\xe0\x00\x00"
    return packed[0] == 0xFF and packed[1] & 0x0F == 2


@method("isGlobalUnicast")
def _is_global_unicast(address: Ip) -> bool:
    own = address.address
    broadcast = own.version == 4 and own.packed == b"\xff\xff\xff\xff"
    return not (own.is_unspecified or own.is_loopback or own.is_multicast or own.is_link_local or broadcast)


@method("containsIP")
def _contains_ip(network: Cidr, address: Ip) -> bool:
    return address.address in network.interface.network


@method("containsIP")
def _contains_ip_text(network: Cidr, address: str) -> bool:
    return _contains_ip(network, _parse_ip(address))


@method("containsCIDR")
def _contains_cidr(network: Cidr, other: Cidr) -> bool:
    own, inner = network.interface.network, other.interface
    return inner.version == network.interface.version and own.prefixlen <= inner.network.prefixlen and inner.ip in own


@method("containsCIDR")
def _contains_cidr_text(network: Cidr, other: str) -> bool:
    return _contains_cidr(network, _parse_cidr(other))


@method("ip")
def _cidr_ip(network: Cidr) -> Ip:
    return Ip(network.interface.ip)


@method("masked")
def _masked(network: Cidr) -> Cidr:
    return _parse_cidr(str(network.interface.network))


@method("prefixLength")
def _prefix_length(network: Cidr) -> int:
    return network.interface.network.prefixlen
