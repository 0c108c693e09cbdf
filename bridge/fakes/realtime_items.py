"""The conversation of an OpenAI-family session: items in order, what a client may add, what a model makes of it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from audio.frame import Format
from bridge.fakes.answers import Said
from bridge.fakes.hearing import speech
from bridge.fakes.realtime_checks import (
    Check,
    Problem,
    anything,
    by_type,
    list_of,
    missing,
    nullable,
    one_of,
    string,
    table,
)
from bridge.fakes.speech import RATE, Spoken

_PART: dict[str, Check] = {"type": string, "text": string, "audio": string, "transcript": nullable(string)}
_PART.update({"image_url": string, "detail": anything})
_ITEM: dict[str, Check] = {"id": string, "object": anything, "type": string, "status": anything}
_ROLE = one_of("user", "system", "assistant")
_MESSAGE = table({**_ITEM, "role": _ROLE, "content": list_of(anything)}, ("role", "content"))
_CALL = table({**_ITEM, "name": string, "call_id": string, "arguments": string}, ("name", "arguments"))
_OUTPUT = table({**_ITEM, "call_id": string, "output": string}, ("call_id", "output"))
ITEM = by_type({"message": _MESSAGE, "function_call": _CALL, "function_call_output": _OUTPUT})


@dataclass(slots=True)
class Item:
    """`wire` as it is shown; `audio` in `format` for caller speech; `spoken` and `kept_ms` for a reply: what of it
    counts as said."""

    wire: dict[str, Any]
    audio: bytes = b""
    format: Format | None = None
    spoken: Spoken | None = None
    kept_ms: float = 0.0
    voiced: bool = False

    @property
    def id(self) -> str:
        return str(self.wire["id"])

    @property
    def words(self) -> str:
        """Of a reply: the words that count as said."""
        if self.spoken is None:
            return ""
        return " ".join(word.text for word in self.spoken.words if word.end * 1000 / RATE <= self.kept_ms + 1)


def check_part(part: Any, role: str, allowed: dict[str, tuple[str, ...]], param: str) -> None:
    table(_PART, ("type",))(part, param)
    one_of(*allowed[role])(part["type"], f"{param}.type")
    needs = {"input_audio": "audio", "input_image": "image_url"}.get(part["type"], "text")
    if needs not in part:
        raise missing(f"{param}.{needs}")


def audio_bytes(value: Any, param: str) -> bytes:
    """Base64 as the service accepts it. Raises Problem."""
    if not isinstance(value, str):
        raise missing(param) if value is None else Problem("invalid_type", f"Invalid type for '{param}'.", param)
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise Problem("invalid_value", f"Invalid '{param}': not valid base64.", param) from error


class Items:
    """Items in order. `allowed`: content types per role."""

    def __init__(self, allowed: dict[str, tuple[str, ...]]) -> None:
        self.allowed = allowed
        self.order: list[Item] = []

    def find(self, item_id: Any) -> Item | None:
        return next((item for item in self.order if item.id == item_id), None)

    def before(self, item: Item) -> str | None:
        """The id of the item in front of `item`."""
        at = self.order.index(item)
        return self.order[at - 1].id if at else None

    def add(self, item: Item, previous: str | None = None) -> None:
        """At the end, or behind `previous` ("root": at the front). Raises Problem for an unknown one."""
        if previous is None:
            self.order.append(item)
        elif previous == "root":
            self.order.insert(0, item)
        else:
            found = self.find(previous)
            if found is None:
                code = "item_create_invalid_previous_item_id"
                raise Problem(code, f"Previous item with id '{previous}' does not exist.", "previous_item_id")
            self.order.insert(self.order.index(found) + 1, item)

    def made(self, given: Any, fresh_id: str, format: Format, param: str = "item") -> Item:
        """An item a client wants to add, checked. Raises Problem; nothing is added."""
        if given is None:
            raise missing(param)
        ITEM(given, param)
        if self.find(given.get("id")) is not None:
            message = f"Item with id '{given['id']}' already exists."
            raise Problem("item_create_duplicate_item_id", message, f"{param}.id")
        item = Item({"id": given.get("id") or fresh_id, "type": given["type"]})
        if given["type"] == "message":
            return self._message(item, given, format, param)
        if given["type"] == "function_call":
            item.wire |= {"status": "completed", "name": given["name"]}
            item.wire |= {"call_id": given.get("call_id") or f"call_{fresh_id}", "arguments": given["arguments"]}
            return item
        calls = {entry.wire.get("call_id") for entry in self.order if entry.wire["type"] == "function_call"}
        if given["call_id"] not in calls:
            message = f"Tool call ID '{given['call_id']}' not found in conversation."
            raise Problem("invalid_tool_call_id", message, f"{param}.call_id")
        item.wire |= {"call_id": given["call_id"], "output": given["output"]}
        return item

    def _message(self, item: Item, given: dict[str, Any], format: Format, param: str) -> Item:
        if not given["content"]:
            raise missing(f"{param}.content")
        content = []
        for i, part in enumerate(given["content"]):
            place = f"{param}.content[{i}]"
            check_part(part, given["role"], self.allowed, place)
            if part["type"] == "input_audio":
                item.audio += audio_bytes(part["audio"], f"{place}.audio")
                item.format = format
                content.append({"type": "input_audio", "transcript": part.get("transcript")})
            else:
                content.append({name: part[name] for name in ("type", "text", "image_url") if name in part})
        item.wire |= {"status": "completed", "role": given["role"], "content": content}
        return item

    def log(self, items: Iterable[Item] | None = None) -> list[Said]:
        """The conversation as a model sees it. Speech that one number runs through is one question."""
        names = {item.wire.get("call_id"): item.wire.get("name", "") for item in self.order}
        out: list[Said] = []
        sources: list[Item] = []
        for item in self.order if items is None else items:
            for said in said_of(item, names):
                last = out[-1] if out else None
                if (
                    last is not None
                    and said.kind == last.kind == "speech"
                    and said.reading is not None
                    and last.reading is not None
                    and said.reading.number is not None
                    and said.reading.number == last.reading.number
                    and item.format is not None
                ):
                    sources.append(item)
                    out[-1:] = speech([source.audio for source in sources], item.format)
                    continue
                sources = [item]
                out.append(said)
        return out


def said_of(item: Item, names: dict[Any, str]) -> list[Said]:
    """One item as the model sees it."""
    wire = item.wire
    if wire["type"] == "function_call":
        return [Said("assistant", "call", wire["arguments"], name=wire["name"])]
    if wire["type"] == "function_call_output":
        return [Said("system", "output", wire["output"], name=names.get(wire["call_id"], ""))]
    if item.spoken is not None:
        return [Said("assistant", "text", item.words)] if item.words else []
    out = []
    for part in wire["content"]:
        if part["type"] == "input_audio" and item.format is not None:
            out += speech([item.audio], item.format)
        elif part.get("text"):
            out.append(Said(wire["role"], "text", part["text"]))
    return out
