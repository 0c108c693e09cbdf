"""No credential leaves the process in a text."""

from __future__ import annotations

import pytest

from providers.secrets import redact


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Incorrect API key provided: sk-proj-ab****xyz. Try", "Incorrect API key provided: [secret] Try"),
        ("ek_1234567890abcdef expired", "[secret] expired"),
        ("key AIzaSyD1234567890-_abc is not valid", "key [secret] is not valid"),
        ("wss://h/p?key=abcd1234&model=x", "wss://h/p?key=[secret]&model=x"),
        ("wss://h/p?api-key=abcd1234", "wss://h/p?api-key=[secret]"),
        ("wss://h/p?x=1&access_token=auth_tokens/abc", "wss://h/p?x=1&access_token=[secret]"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer [secret]"),
        ("bearer abcdefgh", "bearer [secret]"),
        ('{"api_key": "abcdefgh"}', '{"api_key": "[secret]"}'),
        ("x-goog-api-key: abcdefgh", "x-goog-api-key: [secret]"),
        ("token ya29.a0Af_bc-d rejected", "token [secret] rejected"),
        ("realtime, openai-insecure-api-key.ABCdef, x", "realtime, [secret], x"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig", "[secret]"),
        ("mine is hunter2hunter2", "mine is [secret]"),
        ("mine is a%2Fb%2Bc", "mine is [secret]"),
    ],
)
def test_credentials_are_masked(text: str, expected: str) -> None:
    assert redact(text, ["hunter2hunter2", "a/b+c", ""]) == expected


@pytest.mark.parametrize(
    "text",
    [
        "API key not valid. Please pass a valid API key.",
        "The server had an error while processing your request.",
        "model gpt-realtime-2.1 not found",
        "4096 tokens exceeded",
        "invalid_request_error.invalid_api_key",
        "task-based risk-free",
        "",
    ],
)
def test_plain_words_stay(text: str) -> None:
    assert redact(text) == text


def test_the_longer_secret_goes_first() -> None:
    assert redact("abcdef-123", ["abc", "abcdef-123"]) == "[secret]"
