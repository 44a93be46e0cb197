"""Where a client comes from can't be forged."""

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_docker.http.clients import UNIX, allowed, client_address, client_scheme, header, networks, seen

PROXIES = networks(["10.0.0.0/8", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["192.0.2.66, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["192.0.2.66, 198.51.100.1, 10.9.9.9"], "198.51.100.1"),
        ("10.0.0.1", ["192.0.2.66", "198.51.100.1,10.9.9.9"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["198.51.100.1, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["198.51.100.1,"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1", ""], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1:http"], "10.0.0.1"),
        ("10.0.0.1", ["[198.51.100.1]"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.01"], "10.0.0.1"),
        ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.0.0.1", ["[2001:db8::7]"], "2001:db8::7"),
        ("10.0.0.1", ["2001:DB8:0::7"], "2001:db8::7"),
        ("10.0.0.1", ["[]"], "10.0.0.1"),
        ("10.0.0.1", ["fe80::1%eth0"], "fe80::1"),
        ("10.0.0.1", ["[fe80::1%25eth0]:80"], "fe80::1"),
        ("10.0.0.1", ["198.51.100.1%eth0"], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("fd00::1", ["::ffff:10.0.0.7, fd00::2"], "10.0.0.7"),
        ("fe80::9%eth1", ["198.51.100.1"], "fe80::9"),
        ("testclient", ["198.51.100.1"], "testclient"),
        (None, ["198.51.100.1"], UNIX),
    ],
)
def test_the_client_is_the_right_most_hop_that_is_no_proxy(peer: str | None, forwarded: list[str], client: str) -> None:
    assert client_address(peer, forwarded, PROXIES) == client


addresses = st.ip_addresses().map(str)
proxies = st.one_of(
    st.ip_addresses(v=4, network="10.0.0.0/8").map(str), st.ip_addresses(v=6, network="fd00::/8").map(str)
)


@given(
    st.one_of(addresses, proxies, st.none(), st.text()),
    st.lists(st.text() | st.lists(proxies | addresses).map(",".join)),
)
def test_whatever_is_forwarded_an_address_comes_back(peer: str | None, forwarded: list[str]) -> None:
    client_address(peer, forwarded, PROXIES)


@given(proxies, st.lists(addresses | proxies, min_size=1), st.data())
def test_a_proxy_is_the_client_only_if_every_hop_is_one(peer: str, hops: list[str], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(hops)), max_size=3)))
    parts = [hops[start:end] for start, end in zip([0, *cuts], [*cuts, len(hops)], strict=True)]
    client = client_address(peer, [", ".join(part) for part in parts if part], PROXIES)
    assert allowed(client, PROXIES) == all(allowed(hop, PROXIES) for hop in hops)


@given(proxies, st.text("0123456789abcdef.:,[]% \t"), addresses, st.lists(proxies))
def test_what_a_client_sends_itself_does_not_matter(peer: str, sent: str, real: str, beyond: list[str]) -> None:
    honest = client_address(peer, [",".join([real, *beyond])], PROXIES)
    forged = client_address(peer, [sent, ",".join([real, *beyond])], PROXIES)
    assert forged == honest or allowed(real, PROXIES)


def test_lists_of_addresses_know_both_families_and_mapped_ones() -> None:
    among = networks(["127.0.0.1", " 192.0.2.0/24 ", "2001:db8::/32", "::ffff:198.51.100.0/120"])
    for address in ("127.0.0.1", "192.0.2.200", "2001:db8::1", "::ffff:192.0.2.1", "198.51.100.9"):
        assert allowed(address, among)
    for address in ("127.0.0.2", "192.0.3.1", "2001:db9::1", UNIX, ""):
        assert not allowed(address, among)
    assert not allowed("127.0.0.1", ())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("10.0.0.1/8", "did you mean 10.0.0.0/8"),
        ("10.0.0.0/33", "is no address or network"),
        ("proxy.example.com", "is no address or network"),
        ("", "is no address or network"),
        ("fe80::1%eth0", "has no zone"),
    ],
)
def test_what_is_no_network_is_refused_by_name(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as refused:
        networks([text])
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize(
    ("peer", "said", "scheme"),
    [
        ("10.0.0.1", ["https"], "https"),
        ("10.0.0.1", ["http", "HTTPS "], "https"),
        ("10.0.0.1", ["https, http"], "http"),
        ("10.0.0.1", ["gopher"], "http"),
        ("10.0.0.1", [], "http"),
        ("203.0.113.9", ["https"], "http"),
        (None, ["https"], "http"),
    ],
)
def test_only_a_proxy_can_say_that_it_was_https(peer: str | None, said: list[str], scheme: str) -> None:
    assert client_scheme(peer, "http", said, PROXIES) == scheme


def test_both_are_read_from_a_scope_and_forwarded_is_not() -> None:
    headers = [
        (b"X-Forwarded-For", b"198.51.100.1"),
        (b"x-forwarded-for", b"198.51.100.2"),
        (b"x-forwarded-proto", b"https"),
        (b"forwarded", b"for=192.0.2.66;proto=http"),
        (b"x-real-ip", b"192.0.2.66"),
    ]
    scope: dict[str, Any] = {"client": ("10.0.0.1", 4711), "scheme": "http", "headers": headers}
    assert seen(scope, PROXIES) == ("198.51.100.2", "https")
    assert seen({**scope, "client": None}, PROXIES) == (UNIX, "http")
    assert header(scope, b"x-forwarded-for") == ["198.51.100.1", "198.51.100.2"]


def test_an_unix_socket_is_in_no_network() -> None:
    with pytest.raises(ValueError, match="does not appear"):
        ipaddress.ip_address(UNIX)
