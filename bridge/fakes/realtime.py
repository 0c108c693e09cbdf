"""The OpenAI family: one session's client messages, its input buffer and its conversation.

Replies are made in `realtime_replies.py`, what the dialects differ in stands in `realtime_dialects.py`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import orjson

from audio.frame import Format
from bridge.fakes.answers import caller_text
from bridge.fakes.hearing import TurnFinder, speech
from bridge.fakes.realtime_checks import INVALID_REQUEST, Problem, missing
from bridge.fakes.realtime_dialects import Dialect
from bridge.fakes.realtime_items import Item, audio_bytes
from bridge.fakes.realtime_replies import Replies
from bridge.fakes.script import Do
from bridge.fakes.session import MS, Shared
from bridge.fakes.wire import Close, Request

MAX_APPEND = 15 * 1024 * 1024
MIN_COMMIT_MS = 100
COMMIT_ERROR_MS = 800  # how long the live service took to refuse an empty commit


class RealtimeSession(Replies):
    """One connection to OpenAI, Azure OpenAI or Voice Live."""

    def __init__(self, shared: Shared, connection: int, request: Request, now: int, dialect: Dialect) -> None:
        super().__init__(shared, connection, request, now, dialect)
        self.audio_in: list[bytes] = []
        self.audio_in_size = 0
        self.speaking = False
        self.finder: TurnFinder | None = None
        self.pending_item = ""
        self._handlers: dict[str, Callable[[dict[str, Any], int], None]] = {
            "session.update": self._update,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.commit": self._commit_asked,
            "input_audio_buffer.clear": self._clear,
            "conversation.item.create": self._create_item,
            "conversation.item.retrieve": self._retrieve,
            "conversation.item.truncate": self._truncate,
            "conversation.item.delete": self._delete,
            "response.create": self.ask,
            "response.cancel": self.cancel,
        }

    # ------------------------------------------------------------------------------------------------ connection

    def opened(self, now: int) -> None:
        refusal = self._admission()
        if refusal is not None:
            code, error, message = refusal
            self.put_error(Problem(error, message), None)
            self.end(Close(code, f"{INVALID_REQUEST}.{error}"))
            return
        self.emit("session.created", session=self.config)
        self.later(now + self.script.session_s * 1000 * MS, self._expire)

    def _admission(self) -> tuple[int, str, str] | None:
        """Close code, error code and message when this connection must not live."""
        if "realtime=v1" in self.request.headers.get("openai-beta", ""):
            return 4000, "beta_api_shape_disabled", "The Realtime Beta API is no longer supported."
        if self.script.api_key is not None and self.request.key != self.script.api_key:
            return 3000, "invalid_api_key", "Incorrect API key provided."
        names = [name for name in ("model", "intent", "call_id") if self.request.query.get(name)]
        if len(names) != 1 and not self.dialect.flat:
            return 4000, "missing_model", "You must provide a model parameter."
        if self.script.models and self.model not in self.script.models:
            return 4000, "invalid_model", f'Model "{self.model}" is not supported in realtime mode.'
        return None

    def _expire(self, now: int) -> None:
        minutes = round(self.script.session_s / 60)
        message = f"Your session hit the maximum duration of {minutes} minutes."
        self.put_error(Problem("session_expired", message), None)
        self.end(Close(1001, message))

    # ------------------------------------------------------------------------------------------------ messages

    def handle(self, message: str | bytes, now: int) -> None:
        event_id = None
        try:
            if isinstance(message, bytes):
                raise Problem("invalid_event", "Binary frames are not supported; send text frames with JSON.")
            try:
                event = orjson.loads(message)
            except orjson.JSONDecodeError as error:
                raise Problem("invalid_json", f"Could not parse the message as JSON: {error}") from error
            if not isinstance(event, dict):
                raise Problem("invalid_json", "The message must be a JSON object.")
            event_id = event.get("event_id")
            kind = event.get("type")
            if kind is None:
                raise missing("type")
            handler = self._handlers.get(kind) if isinstance(kind, str) else None
            if handler is None:
                known = ", ".join(f"'{name}'" for name in self._handlers)
                raise Problem("invalid_value", f"Invalid value: '{kind}'. Supported values are: {known}.", "type")
            handler(event, now)
        except Problem as problem:
            self.put_error(problem, event_id)

    def _update(self, event: dict[str, Any], now: int) -> None:
        if "session" not in event:
            raise missing("session")
        self.refused_config = None
        self.phase("configuring", now)
        if self.refused_config is not None:
            raise self.refused_config
        audio_sent = any(item.voiced for item in self.items.order)
        self.config = self.dialect.update(self.config, event["session"], audio_sent, self.reply is not None)
        self.finder = None

        def acknowledge(at: int) -> None:
            self.emit("session.updated", session=self.config)
            self.phase("configured", at)

        self.after(now, self.script.latency.ack_ms, acknowledge)

    # ------------------------------------------------------------------------------------------------ caller audio

    @property
    def input_format(self) -> Format:
        return self.dialect.input_format(self.config)

    def _append(self, event: dict[str, Any], now: int) -> None:
        data = audio_bytes(event.get("audio"), "audio")
        if len(data) > MAX_APPEND:
            raise Problem("invalid_value", "Audio of one event is limited to 15 MiB.", "audio")
        vad = self.dialect.vad(self.config)
        if vad is None:
            self.begin_turn(now)
        self.audio_in.append(data)
        self.audio_in_size += len(data)
        if vad is not None:
            self._listen(data, vad, now)

    def begin_turn(self, now: int) -> None:
        """The first audio of a caller turn arrived."""
        if not self.speaking:
            self.speaking = True
            self.turn += 1
            self.phase("speaking", now)

    def _listen(self, data: bytes, vad: dict[str, Any], now: int) -> None:
        """Server-side turn detection."""
        if self.finder is None:
            self.finder = TurnFinder(self.input_format, vad.get("silence_duration_ms") or 500)
        for what, at_ms in self.finder.push(data):
            if what == "started":
                self.pending_item = self.fresh("item")
                start = max(0, at_ms - int(vad.get("prefix_padding_ms") or 0))
                self.emit("input_audio_buffer.speech_started", audio_start_ms=start, item_id=self.pending_item)
                self.begin_turn(now)
                if vad.get("interrupt_response") and self.reply is not None:
                    self.finish(self.reply, "cancelled", now, {"type": "cancelled", "reason": "turn_detected"})
            else:
                self.emit("input_audio_buffer.speech_stopped", audio_end_ms=at_ms, item_id=self.pending_item)
                self._commit(now, self.pending_item)
                if vad.get("create_response") and not self.gone and self.reply is None:
                    self.start_reply({}, now)

    def _commit_asked(self, event: dict[str, Any], now: int) -> None:
        had = self.input_format.ms(self.audio_in_size)
        if had < MIN_COMMIT_MS:
            message = f"Error committing input audio buffer: expected at least 100ms of audio, had {had:.2f}ms."
            problem = Problem("input_audio_buffer_commit_empty", message)
            event_id = event.get("event_id")
            self.after(now, COMMIT_ERROR_MS, lambda at: self.put_error(problem, event_id))
            return
        self._commit(now, self.fresh("item"))

    def _commit(self, now: int, item_id: str) -> None:
        format = self.input_format
        wire: dict[str, Any] = {"id": item_id, "type": "message", "status": "completed", "role": "user"}
        wire["content"] = [{"type": "input_audio", "transcript": None}]
        item = Item(wire, b"".join(self.audio_in), format)
        self.begin_turn(now)
        self.speaking = False
        self.audio_in, self.audio_in_size = [], 0
        self.items.add(item)
        previous = self.items.before(item)
        turn = self.turn

        def announce(at: int) -> None:
            self.emit("input_audio_buffer.committed", previous_item_id=previous, item_id=item_id)
            self.emit(self.dialect.added, previous_item_id=previous, item=self.dialect.item(wire))
            self.emit(self.dialect.done, previous_item_id=previous, item=self.dialect.item(wire))
            self._transcribe(item, turn, at)
            self.phase("committed", at)

        self.committed_at = now + self.script.latency.commit_ms * MS
        self.after(now, self.script.latency.commit_ms, announce)

    def _transcribe(self, item: Item, turn: int, now: int) -> None:
        plan = self.script.caller_text
        if self.dialect.transcription(self.config) is None or plan is None or item.format is None:
            return
        heard = speech([item.audio], item.format)
        seconds = item.format.ms(len(item.audio)) / 1000
        base = "conversation.item.input_audio_transcription"
        about: dict[str, Any] = {"item_id": item.id, "content_index": 0}

        def write(at: int) -> None:
            if plan.fail:
                error = {"type": "server_error", "code": "transcription_failed", "message": "No text.", "param": None}
                self.emit(f"{base}.failed", **about, error=error)
                return
            text = caller_text(heard, plan.texts.get(turn))
            for word in text.split():
                self.emit(f"{base}.delta", **about, delta=f" {word}", **self.padding())
            item.wire["content"][0]["transcript"] = text
            more = self.dialect.transcribed(self.config, seconds, text)
            self.emit(f"{base}.completed", **about, transcript=text, **more)

        self.after(now, plan.delay_ms, write)

    def _clear(self, event: dict[str, Any], now: int) -> None:
        self.audio_in, self.audio_in_size, self.speaking = [], 0, False
        self.finder = None
        self.after(now, self.script.latency.ack_ms, lambda at: self.emit("input_audio_buffer.cleared"))

    # ------------------------------------------------------------------------------------------------ conversation

    def _create_item(self, event: dict[str, Any], now: int) -> None:
        item = self.items.made(event.get("item"), self.fresh("item"), self.input_format)
        self.items.add(item, event.get("previous_item_id"))
        self.turn += bool(item.audio)
        previous = self.items.before(item)

        def announce(at: int) -> None:
            self.emit(self.dialect.added, previous_item_id=previous, item=self.dialect.item(item.wire))
            if not self.dialect.flat:
                self.emit(self.dialect.done, previous_item_id=previous, item=self.dialect.item(item.wire))

        self.after(now, self.script.latency.ack_ms, announce)

    def _item(self, event: dict[str, Any], verb: str) -> Item:
        item_id = event.get("item_id")
        if item_id is None:
            raise missing("item_id")
        item = self.items.find(item_id)
        if item is None:
            message = f"Error in conversation.item.{verb}: item with item_id '{item_id}' does not exist."
            raise Problem(f"item_{verb}_invalid_item_id", message, "item_id")
        return item

    def _retrieve(self, event: dict[str, Any], now: int) -> None:
        item = self._item(event, "retrieve")
        wire = self.dialect.item(item.wire)
        if item.audio:
            sound = base64.b64encode(item.audio).decode()
            wire = {**wire, "content": [{**wire["content"][0], "audio": sound}, *wire["content"][1:]]}
        self.emit("conversation.item.retrieved", item=wire)

    def _truncate(self, event: dict[str, Any], now: int) -> None:
        item = self._item(event, "truncate")
        for name in ("content_index", "audio_end_ms"):
            if not isinstance(event.get(name), int):
                raise missing(name) if event.get(name) is None else Problem("invalid_type", f"'{name}'.", name)
        if not item.voiced:
            raise Problem("invalid_value", "Only model output audio messages can be truncated.", "item_id")
        end = event["audio_end_ms"]
        sent = self.sent_ms(item)
        if event["content_index"] != 0 or end < 0 or end > sent:
            message = f"Audio content of {sent:.0f}ms is already shorter than {end}ms"
            raise Problem("invalid_value", message, "audio_end_ms")
        item.kept_ms = end
        for part in item.wire.get("content", ()):
            part.pop("transcript", None)  # the service forgets the text of what it cuts
        about = {"item_id": item.id, "content_index": 0, "audio_end_ms": end}
        self.after(now, self.script.latency.ack_ms, lambda at: self.emit("conversation.item.truncated", **about))

    def _delete(self, event: dict[str, Any], now: int) -> None:
        item = self._item(event, "delete")
        self.items.order.remove(item)
        self.after(now, self.script.latency.ack_ms, lambda at: self.emit("conversation.item.deleted", item_id=item.id))

    # ------------------------------------------------------------------------------------------------ script

    def act(self, do: Do, now: int) -> None:
        if do.kind == "refuse_config":
            arg = do.arg if isinstance(do.arg, dict) else {}
            code = arg.get("code", "invalid_value")
            message = arg.get("message", "Invalid value for 'session'.")
            param = arg.get("param", "session")
            self.refused_config = Problem(code, message, param, arg.get("type", INVALID_REQUEST))
        elif do.kind == "quota":
            message = "You exceeded your current quota, please check your plan and billing details."
            self.put_error(Problem("insufficient_quota", message, None, "insufficient_quota"), None)
            self.end(Close(1013, "insufficient_quota.insufficient_quota"))
        elif do.kind == "expire":
            self._expire(now)
        elif do.kind == "error":
            problem = Problem(do.arg.get("code"), do.arg.get("message", "An error occurred."), do.arg.get("param"))
            problem.type = do.arg.get("type", INVALID_REQUEST)
            self.put_error(problem, None)
        elif do.kind == "warning":
            self.emit("warning", warning={"code": None, "message": "", "param": None, **do.arg})
        else:
            self.act_on_reply(do, now)
