"""The codec of the OpenAI Realtime family: commands to client events, server events to ours."""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Callable, Mapping

from audio.frame import Format
from providers.base import (
    Ask,
    Audio,
    BeginTurn,
    Cancel,
    Command,
    Configure,
    EndTurn,
    Event,
    Failure,
    Fault,
    Forget,
    HttpRefusal,
    Noticed,
    Probe,
    Seed,
    Session,
    Speech,
    ToolOutput,
    Truncate,
)
from providers.codec import Capabilities, Dial, Target
from providers.dialect import Dialect, Setup, history_items
from providers.faults import failure_fault
from providers.reader import Reader
from providers.wire import Json, dump, parse

# A server takes 15 MiB per append; this is five seconds of the widest format and keeps a burst from blocking a socket.
_APPEND_LIMIT = 240_000
_APPEND = '{"type":"input_audio_buffer.append","audio":"%s"}'


class RealtimeCodec:
    """One session. `dialect` is the cousin spoken, `setup` what the session is configured with."""

    def __init__(self, dialect: Dialect, target: Target, dial: Dial, capabilities: Capabilities, setup: Setup) -> None:
        self.capabilities = capabilities
        self.input_format: Format = setup.input
        self.output_format: Format = setup.output
        self._dialect = dialect
        self._setup = setup
        self._dial = dial
        self._secrets = (target.api_key, *target.headers.values())
        self._reader = Reader(dialect, self._secrets, capabilities.word_timings)
        self._session = Session("")
        self._appended = 0  # bytes of the open turn
        self._turn_ended = False
        self._seeded: dict[str, list[str]] = {}
        self._count = 0

    def dial(self) -> Dial:
        return self._dial

    def encode(self, command: Command) -> list[str | bytes]:
        """Messages for the command, text frames all of them."""
        return _ENCODERS[type(command)](self, command)

    def decode(self, message: str | bytes) -> list[Event]:
        """Events of one server message; unknown types give none, unreadable ones a Noticed."""
        event = parse(message)
        if isinstance(event, str):
            return [Noticed(f"skipped: {event}")]
        return self._reader.read(event)

    def fault(self, failure: Failure) -> Fault:
        """The last error event since a reply began explains the end of the connection best."""
        trouble = self._reader.trouble
        if trouble is not None and not isinstance(failure, HttpRefusal):
            return trouble
        return failure_fault(failure, self._secrets)

    # ------------------------------------------------------------------------------------------------------- commands

    def _configure(self, command: Configure) -> list[str | bytes]:
        self._session = command.session
        self._reader.configuring()
        body = self._dialect.session(command.session, self._setup)
        return [dump({"type": "session.update", "event_id": "configure", "session": body})]

    def _seed(self, command: Seed) -> list[str | bytes]:
        messages: list[str | bytes] = []
        for item in command.items:
            self._count += 1
            for body in history_items(item, self._dialect, _item_id(self._count, item.ref)):
                if item.ref:
                    self._seeded.setdefault(item.ref, []).append(body["id"])
                if isinstance(item, Speech):
                    self._reader.turns.seeded(body["id"], item.turn)
                messages.append(self._create(f"seed-{self._count}", body))
                self._reader.seeding(body["id"])
        return messages

    def _create(self, event_id: str, item: Json) -> str:
        return dump({"type": "conversation.item.create", "event_id": event_id, "item": item})

    def _begin_turn(self, command: BeginTurn) -> list[str | bytes]:
        """A turn given up without an end left its audio in the buffer, where the next commit would include it. Where
        the server ends turns it may still be hearing the one before: that stays."""
        left = self._appended
        self._appended = 0
        self._reader.turns.begin(command.turn)
        return [self._clear(probe=False)] if left and self._session.manual_turns else []

    def _audio(self, command: Audio) -> list[str | bytes]:
        data = command.data
        self._appended += len(data)
        if len(data) <= _APPEND_LIMIT:
            return [_APPEND % b2a_base64(data, newline=False).decode("ascii")]
        return [
            _APPEND % b2a_base64(data[begin : begin + _APPEND_LIMIT], newline=False).decode("ascii")
            for begin in range(0, len(data), _APPEND_LIMIT)
        ]

    def _end_turn(self, command: EndTurn) -> list[str | bytes]:
        appended, self._appended = self._appended, 0
        self._turn_ended = True
        if not self._session.manual_turns:
            return []
        messages: list[str | bytes] = []
        missing = self.input_format.bytes_for(self.capabilities.min_turn_ms) - appended
        if missing > 0:
            # Shorter turns are refused. Some slack, because the server rounds in its own way.
            silence = self.input_format.silence
            padding = missing + self.input_format.bytes_for(20)
            messages += self._audio(Audio(silence * (padding // len(silence))))
            self._appended = 0
        self._reader.turns.commit(command.turn)
        messages.append(dump({"type": "input_audio_buffer.commit", "event_id": f"turn-{command.turn}"}))
        return messages

    def _ask(self, command: Ask) -> list[str | bytes]:
        """An ask's instructions replace the session's on the server, so both are sent."""
        by_server = self._turn_ended and not self._session.manual_turns
        self._turn_ended = False
        if command.begun:
            self._reader.replies.adopt(command.number)
            return []
        self._reader.replies.asked(command.number)
        if by_server:
            return []  # the provider's own turn detection asks
        messages: list[str | bytes] = []
        response: Json = dict(self._dialect.reply)
        if command.instructions and self.capabilities.ask_instructions:
            response["instructions"] = f"{self._session.instructions}\n\n{command.instructions}".strip()
        elif command.instructions:
            self._count += 1
            content = [{"type": "input_text", "text": command.instructions}]
            note = {"id": _item_id(self._count, "note"), "type": "message", "role": "system", "content": content}
            messages.append(self._create(f"note-{self._count}", note))
        if self._dialect.asks_by_name:
            response["metadata"] = {"ask": str(command.number)}
        body: Json = {"type": "response.create", "event_id": f"ask-{command.number}"}
        messages.append(dump({**body, "response": response} if response else body))
        return messages

    def _cancel(self, command: Cancel) -> list[str | bytes]:
        reply = self._reader.replies.of_ask(command.ask)
        if reply is None or reply.cancelled:
            return []
        reply.cancelled = True
        body: Json = {"type": "response.cancel", "event_id": f"cancel-{command.ask}"}
        return [dump({**body, "response_id": reply.id} if self._dialect.asks_by_name else body)]

    def _truncate(self, command: Truncate) -> list[str | bytes]:
        """Only what this session said can be cut, and never to more than it said."""
        item = self._reader.replies.item(command.item)
        if item is None or not self.capabilities.truncate:
            return []
        if command.heard_ms <= 0:
            return [self._delete(command.item)]
        if not item.size:
            return []
        self._count += 1
        body = {
            "type": "conversation.item.truncate",
            "event_id": f"truncate-{self._count}",
            "item_id": command.item,
            "content_index": 0,
            "audio_end_ms": min(command.heard_ms, int(self.output_format.ms(item.size))),
        }
        return [dump(body)]

    def _forget(self, command: Forget) -> list[str | bytes]:
        if not self.capabilities.delete_item:
            return []
        return [self._delete(id) for ref in command.refs for id in self._seeded.pop(ref, ())]

    def _delete(self, item: str) -> str:
        self._count += 1
        return dump({"type": "conversation.item.delete", "event_id": f"delete-{self._count}", "item_id": item})

    def _tool_output(self, command: ToolOutput) -> list[str | bytes]:
        self._count += 1
        item = {"type": "function_call_output", "call_id": command.call_id, "output": command.output}
        return [self._create(f"tool-{self._count}", item)]

    def _probe(self, command: Probe) -> list[str | bytes]:
        return [self._clear(probe=True)] if self.capabilities.probe_command else []

    def _clear(self, probe: bool) -> str:
        self._reader.clearing(probe)
        self._count += 1
        return dump({"type": "input_audio_buffer.clear", "event_id": f"clear-{self._count}"})


_ENCODERS: Mapping[type, Callable[..., list[str | bytes]]] = {
    Configure: RealtimeCodec._configure,
    Seed: RealtimeCodec._seed,
    BeginTurn: RealtimeCodec._begin_turn,
    Audio: RealtimeCodec._audio,
    EndTurn: RealtimeCodec._end_turn,
    Ask: RealtimeCodec._ask,
    Cancel: RealtimeCodec._cancel,
    Truncate: RealtimeCodec._truncate,
    Forget: RealtimeCodec._forget,
    ToolOutput: RealtimeCodec._tool_output,
    Probe: RealtimeCodec._probe,
}


def _item_id(number: int, ref: str) -> str:
    """An id of at most 31 characters (servers take 32), unique in the session and telling in a record."""
    return f"sg{number}_{re.sub('[^A-Za-z0-9]', '', ref)}"[:31]
