"""The OpenAI family: how events, items and usage are written."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import orjson

from bridge.fakes.realtime_checks import Problem
from bridge.fakes.realtime_dialects import Dialect
from bridge.fakes.realtime_items import Item, Items
from bridge.fakes.replying import Reply, Step
from bridge.fakes.session import MS, Session, Shared
from bridge.fakes.speech import bank
from bridge.fakes.wire import Request

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class RealtimeWriter(Session):
    """The part of a session that puts things on the wire."""

    def __init__(self, shared: Shared, connection: int, request: Request, now: int, dialect: Dialect) -> None:
        self.dialect = dialect
        self.model = request.query.get("model") or request.query.get("deployment") or "gpt-realtime-2.1"
        self._ids = 0
        super().__init__(shared, connection, request, now)
        expires_at = shared.epoch + now // 1_000_000_000 + self.script.session_s
        self.config = dialect.new_session(self.fresh("sess"), self.model, expires_at)
        self.conversation = self.fresh("conv")
        self.items = Items(dialect.allowed)
        self.bad_base64 = False
        self.cached_tokens = 0

    def fresh(self, kind: str) -> str:
        """A new id, unique over the connections of one emulator."""
        self._ids += 1
        return f"{kind}_s{self.shared.seed}c{self.connection}n{self._ids}"

    def emit(self, kind: str, **fields: Any) -> None:
        ids = self.script.event_ids
        event_id = self.fresh("event") if ids == "unique" else None if ids == "null" else "event_same"
        self.put({"type": kind, "event_id": event_id, **fields})

    def announce_limits(self, early: bool) -> None:
        """rate_limits.updated, tokens only: entries for requests are usually absent on the live service."""
        limits = self.script.rate_limits
        if limits is not None and limits.early == early:
            entry = {"name": "tokens", "limit": limits.limit, "remaining": limits.remaining}
            self.emit("rate_limits.updated", rate_limits=[{**entry, "reset_seconds": limits.reset_s}])

    def put_error(self, problem: Problem, event_id: Any) -> None:
        error = {
            "type": problem.type,
            "code": problem.code,
            "message": problem.message,
            "param": problem.param,
            "event_id": event_id,
        }
        self.emit("error", error=error)

    def after(self, now: int, ms: float, act: Callable[[int], None]) -> None:
        """At once, or `ms` later."""
        if ms <= 0:
            act(now)
        else:
            self.later(now + int(ms * MS), act)

    def padding(self) -> dict[str, str]:
        """The random string that deltas of the GA dialect carry."""
        if self.dialect.flat:
            return {}
        size = 3 + self._ids * 7 % 13
        start = self._ids * 11 % (len(_LETTERS) - 16)
        return {"obfuscation": _LETTERS[start : start + size]}

    def oversized(self, size: int) -> str:
        fields = {"type": "response.padding", "event_id": self.fresh("event"), "padding": "x" * size}
        return orjson.dumps(fields).decode()

    def speak_aside(self, reply: Reply, text: str) -> None:
        """Voice Live's interim response: a whole spoken item in front of the answer, in one burst."""
        spoken = bank().say(text) or bank().clips["say"]
        aside = Reply(reply.number, spoken, reply.format, reply.style, reply.pace, wire=dict(reply.wire))
        aside.plan(self.random, True)
        self._open_message(aside)
        for step in aside.steps:
            self._send_step(aside, step)
        self._close_message(aside, "completed")
        reply.wire["index"] = 1

    def _send_step(self, reply: Reply, step: Step) -> None:
        at = reply.wire["at"]
        if step.kind == "audio":
            data = base64.b64encode(step.data).decode()
            if self.bad_base64:
                self.bad_base64 = False
                data = "!" + data[:-3] + "*"
            reply.sent_bytes += len(step.data)
            reply.audio_left -= 1
            self.emit(f"{self.dialect.audio}.delta", **at, delta=data)
            return
        reply.sent_text += step.data
        base = self.dialect.transcript if reply.wire["voiced"] else self.dialect.text
        self.emit(f"{base}.delta", **at, delta=step.data, **self.padding())
        if self.script.word_times and reply.wire["voiced"] and self.dialect.word_times(self.config):
            place = {"audio_offset_ms": round(step.begin_ms), "audio_duration_ms": round(step.length_ms)}
            self.emit("response.audio_timestamp.delta", **at, **place, text=step.data.strip(), timestamp_type="word")

    def _open_message(self, reply: Reply) -> None:
        reply.opened = True
        wire: dict[str, Any] = {"id": self.fresh("item"), "type": "message", "status": "in_progress"}
        wire["role"] = "assistant"
        wire["content"] = []
        item = Item(wire, spoken=reply.spoken, voiced=reply.wire["voiced"])
        reply.wire["item"] = item
        self._announce(reply, item)
        reply.wire["at"] = {
            "response_id": reply.wire["id"],
            "item_id": item.id,
            "output_index": reply.wire["index"],
            "content_index": 0,
        }
        part = {"type": "audio", "transcript": ""} if reply.wire["voiced"] else {"type": "text", "text": ""}
        self.emit("response.content_part.added", **reply.wire["at"], **self._part(part))

    def _part(self, part: dict[str, Any]) -> dict[str, Any]:
        return {"part": part, "content": part} if self.dialect.content_key else {"part": part}

    def _announce(self, reply: Reply, item: Item) -> None:
        """output_item.added and its place in the conversation."""
        wire = self.dialect.item(item.wire)
        place = {"response_id": reply.wire["id"], "output_index": reply.wire["index"]}
        self.emit("response.output_item.added", **place, item=wire)
        if reply.wire["kept"]:
            self.items.add(item)
            self.emit(self.dialect.added, previous_item_id=self.items.before(item), item=wire)
        reply.wire["previous"] = self.items.before(item) if reply.wire["kept"] else None

    def _close_item(self, reply: Reply, item: Item) -> None:
        wire = self.dialect.item(item.wire)
        reply.wire["output"].append(item.wire)
        if reply.wire["kept"] and not self.dialect.flat:
            self.emit(self.dialect.done, previous_item_id=reply.wire["previous"], item=wire)
        place = {"response_id": reply.wire["id"], "output_index": reply.wire["index"]}
        self.emit("response.output_item.done", **place, item=wire)

    def _close_message(self, reply: Reply, status: str) -> None:
        at, item = reply.wire["at"], reply.wire["item"]
        text = reply.sent_text
        if reply.wire["voiced"]:
            if not reply.wire.get("audio_done"):
                self.emit(f"{self.dialect.audio}.done", **at)
            self.emit(f"{self.dialect.transcript}.done", **at, transcript=text)
            part = {"type": "audio", "transcript": text}
            content = {"type": self.dialect.audio_content, "transcript": text}
            item.kept_ms = reply.sent_ms
        else:
            self.emit(f"{self.dialect.text}.done", **at, text=text)
            part = {"type": "text", "text": text}
            content = {"type": self.dialect.text_content, "text": text}
            item.kept_ms = 1e9
        self.emit("response.content_part.done", **at, **self._part(part))
        item.wire |= {"status": status, "content": [content]}
        self._close_item(reply, item)

    def _usage(self, reply: Reply) -> dict[str, Any]:
        """About what the services count: 10 audio tokens a second in, 20 out, a token per four letters."""
        log = reply.wire["log"]
        letters = sum(len(said.text) for said in log) + len(self.config["instructions"])
        text_in = letters // 4 + 8
        audio_in = round(10 * sum(said.seconds for said in log))
        text_out = len(reply.sent_text) // 4 + 1 if reply.sent_text else 0
        audio_out = round(reply.sent_ms / 1000 * 20)
        cached = min(self.cached_tokens, text_in) // 64 * 64
        self.cached_tokens = text_in
        zero = {"text_tokens": cached, "audio_tokens": 0, "image_tokens": 0}
        body = {
            "total_tokens": text_in + audio_in + text_out + audio_out,
            "input_tokens": text_in + audio_in,
            "output_tokens": text_out + audio_out,
            "input_token_details": {
                "text_tokens": text_in,
                "audio_tokens": audio_in,
                "image_tokens": 0,
                "cached_tokens": cached,
                "cached_tokens_details": zero,
            },
            "output_token_details": {"text_tokens": text_out, "audio_tokens": audio_out},
        }
        return self.dialect.usage(body)
