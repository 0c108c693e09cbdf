from __future__ import annotations

import hashlib

import pytest

from bridge.edges.signature import addresses, sign, verify

TOKEN = "12345"
# The example in Twilio's documentation ("Security: validating requests") and its result.
URL = "https://example.com/myapp.php?foo=1&bar=2"
FIELDS = [
    ("CallSid", "CA1234567890ABCDE"),
    ("Caller", "+14158675310"),
    ("Digits", "1234"),
    ("From", "+14158675310"),
    ("To", "+18005551212"),
]
PUBLISHED = "L/OH5YylLD5NRKLltdqwSvS0BnU="


def test_the_documented_example() -> None:
    assert sign(TOKEN, URL, FIELDS) == PUBLISHED
    assert verify([TOKEN], [URL], PUBLISHED, FIELDS)


@pytest.mark.parametrize(
    ("url", "fields", "given"),
    [
        (URL + "&baz=3", FIELDS, PUBLISHED),
        (URL, FIELDS[1:], PUBLISHED),
        (URL, [*FIELDS, ("Extra", "1")], PUBLISHED),
        (URL, FIELDS, ""),
        (URL, FIELDS, PUBLISHED[:-1]),
        (URL, FIELDS, PUBLISHED.lower()),
        (URL, FIELDS, "\u00e9\u20ac"),
    ],
)
def test_anything_changed_is_refused(url: str, fields: list[tuple[str, str]], given: str) -> None:
    assert not verify([TOKEN], [url], given, fields)


def test_two_tokens_during_rotation() -> None:
    assert verify(["new", TOKEN], [URL], PUBLISHED, FIELDS)
    assert verify([TOKEN, "new"], [URL], PUBLISHED, FIELDS)
    assert not verify(["new", "newer"], [URL], PUBLISHED, FIELDS)
    assert not verify([], [URL], PUBLISHED, FIELDS)


def test_a_body_with_its_hash_in_the_url() -> None:
    body = b'{"a": 1}'
    url = f"https://example.com/x?bodySHA256={hashlib.sha256(body).hexdigest()}"
    given = sign(TOKEN, url)
    assert verify([TOKEN], [url], given, (), body)
    assert not verify([TOKEN], [url], given, (), body + b" ")


@pytest.mark.parametrize(
    "signed",
    [
        "wss://voice.example.org/twilio/reception",
        "wss://voice.example.org/twilio/reception/",
        "wss://voice.example.org:443/twilio/reception",
        "https://voice.example.org/twilio/reception",
    ],
)
def test_the_forms_an_upgrade_may_be_signed_in(signed: str) -> None:
    assert signed in addresses("https://voice.example.org", "/twilio/reception", "", upgrade=True)


def test_the_webhook_is_signed_with_http_only_and_keeps_its_query() -> None:
    found = addresses("https://voice.example.org/base/", "/twilio/a/twiml", "again=x.y", upgrade=False)
    assert found[0] == "https://voice.example.org/base/twilio/a/twiml?again=x.y"
    assert "https://voice.example.org:443/base/twilio/a/twiml?again=x.y" in found
    assert all(url.startswith("https://") for url in found)


def test_a_port_that_is_configured_stays() -> None:
    found = addresses("http://[::1]:8080", "/twilio", "", upgrade=True)
    assert "ws://[::1]:8080/twilio" in found
    assert all(":8080" in url for url in found)
