import pytest

from gameserver.apps import ClientSettings, LoginSettings, ServerKey, is_mail_address, version_numbers


@pytest.mark.parametrize(
    ("version", "minimum", "allowed"),
    [
        ("1.10.0", "1.9", True),
        ("1.9", "1.9.0", True),
        ("1.8.99", "1.9", False),
        ("2", "1.9", True),
        ("v1.9-beta+7", "1.9", True),
        ("", "1.0", False),
        ("", "", True),
        ("garbage", "0.1", False),
        ("9" * 5000, "1", True),
    ],
)
def test_versions_compare_as_numbers(version: str, minimum: str, allowed: bool) -> None:
    assert ClientSettings(minimum_version=minimum).version_allowed(version, "IOS") is allowed


def test_versions_and_addresses_per_platform() -> None:
    settings = ClientSettings(
        minimum_version="1",
        minimum_versions={"IOS": "2"},
        upgrade_url="https://a",
        upgrade_urls={"ios": "https://b"},
    )
    assert not settings.version_allowed("1.5", "ios")
    assert settings.version_allowed("1.5", "ANG")
    assert settings.upgrade_address("IOS") == "https://b"
    assert settings.upgrade_address("WEB") == "https://a"
    assert version_numbers("1.0.0") == version_numbers("1")


def test_platforms_compare_without_case() -> None:
    settings = ClientSettings(platforms=["OCULUS", "UNKNOWN"])
    assert settings.platform_allowed("Oculus")
    assert settings.platform_allowed("")
    assert not settings.platform_allowed("WEB")
    assert ClientSettings().platform_allowed("anything")


def test_login_types_compare_without_case() -> None:
    assert LoginSettings(types=["HandOff"]).allows("Handoff")
    assert not LoginSettings(types=["Handoff"]).allows("Email")
    assert not LoginSettings(types=[]).allows("Email")
    assert LoginSettings().allows("Email")


def test_servers_are_admitted_by_network() -> None:
    key = ServerKey(secret="x", addresses=["10.1.0.0/16", "2001:db8::7"])
    assert key.admits("10.1.255.1")
    assert key.admits("::ffff:10.1.0.9")
    assert key.admits("2001:db8::7")
    for stranger in ("10.2.0.1", "2001:db8::8", "", "testclient", "10.1.0.1/32"):
        assert not key.admits(stranger)
    assert ServerKey(secret="x").admits("198.51.100.1")


@pytest.mark.parametrize(
    "address",
    ["a@example.com", "first.last+tag@mail.example.co", "o'neil@xn--bcher-kva.example", "root@localhost"],
)
def test_mail_addresses(address: str) -> None:
    assert is_mail_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "fromAddress",
        "@example.com",
        "a@",
        "a@b",
        "a b@example.com",
        "a@example.com\n",
        "a@example.com\r\nBcc: b@example.com",
        "a@@example.com",
        "a@example..com",
        "a@-example.com",
        ".a@example.com",
        "a,b@example.com",
        "<a@example.com>",
        "é@example.com",
        "a" * 65 + "@example.com",
        "a@" + "b" * 250 + ".com",
        "a@example.123",
    ],
)
def test_no_mail_addresses(address: str) -> None:
    assert not is_mail_address(address)
