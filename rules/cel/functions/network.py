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
    address = ipaddress.ip_address(text)
    return Ip(getattr(address, "ipv4_mapped", None) or address)  # ::ffff:c0a8:1 is 192.168.0.1


def _parse_cidr(text: str) -> Cidr:
    import ipaddress

    _refuse_mixed(text)
    length = text.rpartition("/")[2]
    if "/" not in text or not text.isascii() or not length.isdecimal() or (length != "0" and length[0] == "0"):
        raise ValueError(f"{text[:60]!r} is not a network: an address with a prefix length, as in 10.0.0.0/8")
    interface = ipaddress.ip_interface(text)
    if getattr(interface.ip, "ipv4_mapped", None) is not None:
        raise ValueError(f"{text[:60]!r} is a network of IPv4 inside IPv6: write it as one of IPv4")
    return Cidr(interface)


def _refuse_mixed(text: str) -> None:
    """Refuse what Python's library reads and CEL does not: zones, and IPv4 inside IPv6."""
    if "%" in text or (":" in text and "." in text):
        raise ValueError(f"{text[:60]!r} is neither an IPv4 nor an IPv6 address without a zone")


@function("ip")
def _ip_of_string(text: str) -> Ip:
    """An IPv4 or IPv6 address.

    Example: ip("127.0.0.1").isLoopback() == true
    """
    return _parse_ip(text)


@function("ip")
def _ip_of_ip(address: Ip) -> Ip:
    """An IPv4 or IPv6 address.

    Example: ip("127.0.0.1").isLoopback() == true
    """
    return address


@function("cidr")
def _cidr_of_string(text: str) -> Cidr:
    """A network, as an address and the length of its prefix.

    Example: cidr("10.0.0.0/8").containsIP("10.1.2.3") == true
    """
    return _parse_cidr(text)


@function("cidr")
def _cidr_of_cidr(network: Cidr) -> Cidr:
    """A network, as an address and the length of its prefix.

    Example: cidr("10.0.0.0/8").containsIP("10.1.2.3") == true
    """
    return network


@function("isIP")
def _is_ip(text: str) -> bool:
    """Whether a text is an address.

    Example: isIP("::1") == true
    """
    try:
        _parse_ip(text)
    except ValueError:
        return False
    return True


@function("isCIDR")
def _is_cidr(text: str) -> bool:
    """Whether a text is a network.

    Example: isCIDR("10.0.0.0/8") == true
    """
    try:
        _parse_cidr(text)
    except ValueError:
        return False
    return True


@function("ip.isCanonical")
def _is_canonical(text: str) -> bool:
    """Whether an address is written in the one form that the standards recommend.

    Example: ip.isCanonical("::1") == true
    Example: ip.isCanonical("0:0::1") == false
    """
    return str(_parse_ip(text)) == text


@function("string")
def _string_of_address(value: Ip | Cidr) -> str:
    return str(value)


@method("family")
def _family(address: Ip) -> int:
    """4 or 6.

    Example: ip("192.0.2.1").family() == 4
    """
    return address.address.version


@method("isUnspecified")
def _is_unspecified(address: Ip) -> bool:
    """Whether it is `0.0.0.0` or `::`.

    Example: ip("0.0.0.0").isUnspecified() == true
    """
    return address.address.is_unspecified


@method("isLoopback")
def _is_loopback(address: Ip) -> bool:
    """Whether it is this machine's own, such as `127.0.0.1` or `::1`.

    Example: ip("::1").isLoopback() == true
    """
    return address.address.is_loopback


@method("isLinkLocalUnicast")
def _is_link_local_unicast(address: Ip) -> bool:
    """Whether it holds on one network alone, such as `169.254.0.1`.

    Example: ip("169.254.0.1").isLinkLocalUnicast() == true
    """
    return address.address.is_link_local


@method("isLinkLocalMulticast")
def _is_link_local_multicast(address: Ip) -> bool:
    """Whether it is of a group on one network alone, such as `224.0.0.1`.

    Example: ip("224.0.0.1").isLinkLocalMulticast() == true
    """
    packed = address.address.packed
    if address.address.version == 4:
        return packed[:3] == b"\xe0\x00\x00"
    return packed[0] == 0xFF and packed[1] & 0x0F == 2


@method("isGlobalUnicast")
def _is_global_unicast(address: Ip) -> bool:
    """Whether it is none of the special ones; private ones are not special.

    Example: ip("8.8.8.8").isGlobalUnicast() == true
    """
    own = address.address
    broadcast = own.version == 4 and own.packed == b"\xff\xff\xff\xff"
    return not (own.is_unspecified or own.is_loopback or own.is_multicast or own.is_link_local or broadcast)


@method("containsIP")
def _contains_ip(network: Cidr, address: Ip) -> bool:
    """Whether an address, or the text of one, lies in a network.

    Example: cidr("192.168.0.0/16").containsIP("192.168.7.7") == true
    """
    return address.address in network.interface.network


@method("containsIP")
def _contains_ip_text(network: Cidr, address: str) -> bool:
    """Whether an address, or the text of one, lies in a network.

    Example: cidr("192.168.0.0/16").containsIP("192.168.7.7") == true
    """
    return _contains_ip(network, _parse_ip(address))


@method("containsCIDR")
def _contains_cidr(network: Cidr, other: Cidr) -> bool:
    """Whether another network, or the text of one, lies in a network.

    Example: cidr("10.0.0.0/8").containsCIDR("10.1.0.0/16") == true
    """
    own, inner = network.interface.network, other.interface
    return inner.version == network.interface.version and own.prefixlen <= inner.network.prefixlen and inner.ip in own


@method("containsCIDR")
def _contains_cidr_text(network: Cidr, other: str) -> bool:
    """Whether another network, or the text of one, lies in a network.

    Example: cidr("10.0.0.0/8").containsCIDR("10.1.0.0/16") == true
    """
    return _contains_cidr(network, _parse_cidr(other))


@method("ip")
def _cidr_ip(network: Cidr) -> Ip:
    """The address of a network.

    Example: cidr("10.0.0.0/8").ip() == ip("10.0.0.0")
    """
    return Ip(network.interface.ip)


@method("masked")
def _masked(network: Cidr) -> Cidr:
    """The network with the bits past its prefix zero.

    Example: cidr("192.168.0.7/16").masked() == cidr("192.168.0.0/16")
    """
    return _parse_cidr(str(network.interface.network))


@method("prefixLength")
def _prefix_length(network: Cidr) -> int:
    """How many bits the prefix has.

    Example: cidr("10.0.0.0/8").prefixLength() == 8
    """
    return network.interface.network.prefixlen
