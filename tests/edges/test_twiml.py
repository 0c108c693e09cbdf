from __future__ import annotations

from xml.etree import ElementTree

import pytest

from bridge.edges import twiml


def test_connect_then_redirect() -> None:
    document = twiml.connect("wss://h/twilio/a", {"name": 'Ann "A" <b> & c'}, "https://h/x?again=1&y=2")
    root = ElementTree.fromstring(document)
    assert [verb.tag for verb in root] == ["Connect", "Redirect"]
    stream = root[0][0]
    assert (stream.tag, stream.attrib) == ("Stream", {"url": "wss://h/twilio/a"})
    assert [parameter.attrib for parameter in stream] == [{"name": "name", "value": 'Ann "A" <b> & c'}]
    assert (root[1].text, root[1].attrib) == ("https://h/x?again=1&y=2", {"method": "POST"})


def test_busy_and_hang_up() -> None:
    assert ElementTree.fromstring(twiml.busy())[0].attrib == {"reason": "busy"}
    assert [verb.tag for verb in ElementTree.fromstring(twiml.hang_up())] == ["Hangup"]


@pytest.mark.parametrize(
    ("target", "tag", "text"), [("+15551234567", None, "+15551234567"), ("sip:a@b.example", "Sip", "sip:a@b.example")]
)
def test_dial(target: str, tag: str | None, text: str) -> None:
    dial = ElementTree.fromstring(twiml.dial(target))[0]
    assert dial.tag == "Dial"
    inner = dial if tag is None else dial.find(tag)
    assert inner is not None and inner.text == text
