"""The TwiML documents Segue answers a carrier's webhook with."""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import escape, quoteattr

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


def connect(stream: str, parameters: Mapping[str, str], then: str) -> str:
    """Connect the call to the media stream at `stream`; when that ends, ask at `then` how to go on."""
    given = "".join(
        f"<Parameter name={quoteattr(name)} value={quoteattr(value)}/>" for name, value in parameters.items()
    )
    return (
        f"{_HEAD}<Response><Connect><Stream url={quoteattr(stream)}>{given}</Stream></Connect>"
        f'<Redirect method="POST">{escape(then)}</Redirect></Response>'
    )


def busy() -> str:
    return f'{_HEAD}<Response><Reject reason="busy"/></Response>'


def hang_up() -> str:
    return f"{_HEAD}<Response><Hangup/></Response>"


def dial(target: str) -> str:
    """Hand the caller to a number, or to a `sip:` address. The call ends when that conversation does."""
    whom = f"<Sip>{escape(target)}</Sip>" if target.startswith(("sip:", "sips:")) else escape(target)
    return f"{_HEAD}<Response><Dial>{whom}</Dial></Response>"
