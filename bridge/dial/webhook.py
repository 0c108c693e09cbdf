"""The carrier's side of a webhook: reading TwiML, signing requests."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urljoin
from xml.etree import ElementTree


@dataclass(frozen=True)
class Document:
    """What a TwiML answer tells the carrier to do."""

    stream: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    redirect: str = ""
    end: str = ""  # why the call is over, when it is


def read_document(text: str, url: str, parameters: Mapping[str, str]) -> Document:
    """What TwiML fetched from `url` says. `parameters` are sent with the stream beside its own."""
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        return Document(end=f"refused: the TwiML cannot be read: {error}")
    verb = root.find("*")
    if verb is None or verb.tag == "Hangup":
        return Document(end="agent hung up")
    if verb.tag == "Reject":
        return Document(end=f"refused: {verb.get('reason', 'rejected')}")
    if verb.tag == "Dial":
        return Document(end=f"transferred to {''.join(verb.itertext()).strip()}")
    stream = root.find("Connect/Stream")
    if stream is None or not stream.get("url"):
        return Document(end=f"refused: the TwiML has no stream but {verb.tag}")
    own = {each.get("name", ""): each.get("value", "") for each in stream.findall("Parameter")}
    redirect = root.findtext("Redirect")
    return Document(stream.get("url", ""), {**parameters, **own}, urljoin(url, redirect) if redirect else "")


def carrier_signature(token: str, url: str, fields: Mapping[str, str]) -> str:
    """`X-Twilio-Signature` of a request: the URL as configured, then the form fields in the order of their names."""
    text = url + "".join(name + fields[name] for name in sorted(fields))
    return b64encode(hmac.digest(token.encode(), text.encode(), hashlib.sha1)).decode()
