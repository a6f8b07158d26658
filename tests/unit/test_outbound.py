"""Where requests that users ask for may go, and how often they are tried."""

from datetime import timedelta

import pytest

from services.outbound import Undeliverable, addresses, checked_host, is_public
from services.webhooks import GIVE_UP_AFTER, delay


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::5db8:d822", True),
        ("127.0.0.1", False),
        ("127.255.255.254", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),  # where clouds keep credentials
        ("100.64.0.1", False),  # behind a carrier's NAT
        ("192.0.2.1", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),  # 127.0.0.1 by NAT64
        ("2002:7f00:1::", False),  # 127.0.0.1 by 6to4
        ("2001:db8::1", False),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", False),  # Teredo
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "0x7f.0.0.1", "2130706433", "0", "::1"])
def test_whatever_resolves_to_this_machine_is_refused_unless_allowed(host: str) -> None:
    with pytest.raises(Undeliverable, match=r"not public|cannot be found"):
        addresses(host, 80, frozenset())
    assert addresses("127.0.0.1", 80, frozenset({"127.0.0.1"})) == ["127.0.0.1"]
    assert addresses("LocalHost", 80, frozenset({"localhost"}))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/",
        "file:///etc/passwd",
        "gopher://example.org",
        "//example.org",
        "example.org",
        "http://",
        "http:///path",
        "http://user:password@example.org/",
        "http://user@example.org/",
        "http://example.org:99999/",
        "http://example.org:x/",
        "http://[::1/",
        "http://exa\nmple.org/",
        "http://example.org/\r\nHost: other",
        "http://exämple.org/",
    ],
)
def test_only_plain_urls_are_called(url: str) -> None:
    with pytest.raises(Undeliverable):
        checked_host(url)


def test_attempts_are_spread_over_a_day() -> None:
    delays = [delay(attempts) for attempts in range(1, 40)]
    assert delays[:4] == [timedelta(seconds=seconds) for seconds in (5, 20, 80, 320)]
    assert delays == sorted(delays)
    total, attempts = timedelta(0), 1
    while total + delay(attempts) <= GIVE_UP_AFTER:
        total, attempts = total + delay(attempts), attempts + 1
    assert 10 <= attempts <= 20
    assert total > timedelta(hours=20)
