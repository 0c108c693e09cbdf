"""Gemini Live (BidiGenerateContent), Developer API and Vertex.

The end of the caller's turn is the ask, begin-of-turn is what interrupts, and nothing has an id: which ask a message
belongs to follows from the order of things (`GeminiReplies`). Options: `api` ("developer" or "vertex"), `api_version`,
`project` and `location` (Vertex), `auth` (Vertex: "bearer" or "api-key"), `thinking_level`, `capabilities`.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import orjson

from audio.frame import Format
from providers.address import check_options
from providers.base import (
    Ask,
    Audio,
    BeginTurn,
    Cancel,
    Command,
    Configure,
    EndTurn,
    Event,
    Expiring,
    Failed,
    Failure,
    Fault,
    FaultClass,
    Forget,
    HttpRefusal,
    Noticed,
    Probe,
    Ready,
    Seed,
    Session,
    SocketClosed,
    ToolCancelled,
    ToolOutput,
    Truncate,
    UsageReported,
)
from providers.codec import Dial, Target
from providers.faults import error_fault, failure_fault
from providers.gemini_replies import GeminiReplies
from providers.gemini_setup import OPTIONS, dial_for, history_turns, model_path, note_of, setup_message
from providers.models import Model, capabilities, lookup
from providers.usage import gemini_usage
from providers.wire import Json, dict_of, dump, list_of, parse, text_of

_APPEND_LIMIT = 32_000  # a second; the service wants small pieces, and replayed turns come in long ones
_APPEND = '{"realtimeInput":{"audio":{"mimeType":"audio/pcm;rate=RATE","data":"%s"}}}'
_ACTIVITY_START = '{"realtimeInput":{"activityStart":{}}}'
_ACTIVITY_END = '{"realtimeInput":{"activityEnd":{}}}'
_FINISH_TURN = '{"clientContent":{"turnComplete":true}}'


def gemini(target: Target, leg: Format) -> GeminiCodec:
    """Raises ValueError for an address or an option that cannot be used."""
    check_options(target, OPTIONS)
    model_path(target)
    return GeminiCodec(target, lookup(target.kind, target.model), leg)


class GeminiCodec:
    """One session."""

    def __init__(self, target: Target, model: Model, leg: Format) -> None:
        self.capabilities = capabilities(model, target, leg)
        self.input_format: Format = self.capabilities.input_formats[0]
        self.output_format: Format = self.capabilities.output_formats[0]
        self._target = target
        self._model = model
        self._dial = dial_for(target)
        self._secrets = (target.api_key, *target.headers.values())
        self._append = _APPEND.replace("RATE", str(self.input_format.rate))
        self._session = Session("")
        self._replies = GeminiReplies(ends_with_tools=model.traits["tools"] != "async")
        self._ready = False
        self._trouble: Fault | None = None
        self._turn_open = False  # activityStart was sent, activityEnd was not
        self._turn_ended = False  # ... although the turn is over: the ask ends the activity
        self._tools_told = False  # a tool result was sent: that asks for a reply
        self._seeded = False
        self._used = False  # a turn or a nudge was sent
        self._notes: list[str] = []  # what could not be added to the history, for the next ask
        self._nameless = 0  # tool calls without an id

    def dial(self) -> Dial:
        return self._dial

    def encode(self, command: Command) -> list[str | bytes]:
        """Messages for the command, text frames all of them."""
        return _ENCODERS[type(command)](self, command)

    def fault(self, failure: Failure) -> Fault:
        """Classify the end of the connection: close reasons are all this service tells."""
        if self._trouble is not None and not isinstance(failure, HttpRefusal):
            return self._trouble
        fault = failure_fault(failure, self._secrets)
        if isinstance(failure, SocketClosed) and "requested entity was not found" in failure.reason.lower():
            # Before the setup is accepted it is the model's name, afterwards a backend that lost its state.
            return replace(fault, kind=FaultClass.OVERLOADED if self._ready else FaultClass.CONFIG)
        return fault

    # ------------------------------------------------------------------------------------------------------- commands

    def _configure(self, command: Configure) -> list[str | bytes]:
        self._session = command.session
        return [dump(setup_message(command.session, self._target, self._model))]

    def _seed(self, command: Seed) -> list[str | bytes]:
        once = self._model.traits["history"] == "initial"
        if once and (self._seeded or self._used):
            self._notes += [note_of(item) for item in command.items]
            return []
        turns = history_turns(command.items, final_user=not self.capabilities.assistant_final_history)
        if not turns:
            return []
        self._seeded = True
        # With the opt-in, `true` ends the history without asking for a reply; without it, `true` would ask.
        return [dump({"clientContent": {"turns": turns, "turnComplete": once}})]

    def _begin_turn(self, command: BeginTurn) -> list[str | bytes]:
        """A turn that follows one nothing was asked about goes on in the same activity: its end would be an ask."""
        self._replies.turn = command.turn
        self._turn_ended = False
        self._tools_told = False
        if self._turn_open or not self._session.manual_turns:
            return []
        self._turn_open = True
        self._used = True
        self._replies.interrupt()
        return [_ACTIVITY_START]

    def _audio(self, command: Audio) -> list[str | bytes]:
        data = command.data
        if len(data) <= _APPEND_LIMIT:
            return [self._append % binascii.b2a_base64(data, newline=False).decode("ascii")]
        return [
            self._append % binascii.b2a_base64(data[begin : begin + _APPEND_LIMIT], newline=False).decode("ascii")
            for begin in range(0, len(data), _APPEND_LIMIT)
        ]

    def _end_turn(self, command: EndTurn) -> list[str | bytes]:
        """The message that ends the activity is the ask, so it waits for the Ask, which always follows."""
        self._turn_ended = True
        return []

    def _ask(self, command: Ask) -> list[str | bytes]:
        if command.begun:
            self._turn_ended = False
            self._replies.adopt(command.number)
            return []
        text = " ".join([*self._notes, _remark(command.instructions)]).strip()
        if self._turn_ended and not self._session.manual_turns:
            self._turn_ended = False
            self._replies.asked(command.number)
            return []
        if self._turn_open and self._turn_ended:
            self._turn_open = self._turn_ended = False
            self._replies.asked(command.number)
            self._notes.clear()
            messages: list[str | bytes] = [_realtime_text(text)] if text else []
            messages.append(_ACTIVITY_END)
            if self._seeded and self._model.traits["recall"]:
                self._seeded = False
                self._replies.expect_restart()
                messages.append(_FINISH_TURN)
            return messages
        if self._tools_told:
            self._tools_told = False
            self._replies.asked(command.number)
            return []
        self._used = True
        self._notes.clear()
        self._replies.interrupt()
        self._replies.asked(command.number)
        return [self._nudge(text)]

    def _nudge(self, text: str) -> str:
        """Text that makes the model speak without caller audio."""
        if self._model.traits["nudge"] == "realtime":
            return _realtime_text(text or " ")
        if not text:
            return _FINISH_TURN
        turns = [{"role": "user", "parts": [{"text": text}]}]
        return dump({"clientContent": {"turns": turns, "turnComplete": True}})

    def _cancel(self, command: Cancel) -> list[str | bytes]:
        """Nothing on the wire: the next turn interrupts. What still comes keeps its ask until its turn is complete."""
        self._replies.cancel(command.ask)
        return []

    def _tool_output(self, command: ToolOutput) -> list[str | bytes]:
        self._tools_told = True
        response: Json = {"name": command.name, "response": _tool_response(command.output)}
        if not command.call_id.startswith(_NAMELESS):  # an id is echoed only if one was given
            response = {"id": command.call_id, **response}
        return [dump({"toolResponse": {"functionResponses": [response]}})]

    # --------------------------------------------------------------------------------------------------------- events

    def decode(self, message: str | bytes) -> list[Event]:
        """Events of one server message. One message may carry several things, so every key is looked at: what was said,
        then tools, then what ended."""
        event = parse(message)
        if isinstance(event, str):
            return [Noticed(f"skipped: {event}")]
        out: list[Event] = []
        replies = self._replies
        if "usageMetadata" in event:
            replies.usage = gemini_usage(dict_of(event, "usageMetadata"))
        content = dict_of(event, "serverContent")
        if content:
            replies.said(content, out)
        if "setupComplete" in event and not self._ready:
            self._ready = True
            out.append(Ready(text_of(dict_of(event, "setupComplete"), "sessionId")))
        if "toolCall" in event:
            self._tool_calls(dict_of(event, "toolCall"), out)
        if "toolCallCancellation" in event:
            ids = [id for id in list_of(dict_of(event, "toolCallCancellation"), "ids") if isinstance(id, str)]
            out += [ToolCancelled(tuple(ids))] if ids else []
        if content:
            replies.ended(content, out)
        if "goAway" in event:
            out.append(Expiring(_milliseconds(text_of(dict_of(event, "goAway"), "timeLeft"))))
        if "error" in event:
            self._error(event, out)
        if replies.usage is not None and replies.idle:
            out.append(UsageReported(replies.usage))
            replies.usage = None
        return out

    def _tool_calls(self, body: Json, out: list[Event]) -> None:
        calls: list[tuple[str, str, str]] = []
        for call in list_of(body, "functionCalls"):
            if not isinstance(call, dict) or not text_of(call, "name"):
                out.append(Noticed("skipped: a tool call without name"))
                continue
            id = text_of(call, "id")
            if not id:
                self._nameless += 1
                id = f"{_NAMELESS}{self._nameless}"
            calls.append((id, text_of(call, "name"), dump(dict_of(call, "args"))))
        if calls:
            self._replies.called(calls, out)

    def _error(self, event: Json, out: list[Event]) -> None:
        """Not how this service reports trouble, but gateways in front of it do."""
        error = event["error"]
        body: Json = error if isinstance(error, dict) else {}
        message = error if isinstance(error, str) else text_of(body, "message")
        self._trouble = error_fault(text_of(body, "status"), "", message or "no reason given", self._secrets)
        out.append(Failed(self._trouble))


_NAMELESS = "segue-nameless-"


def _nothing(_: GeminiCodec, command: Command) -> list[str | bytes]:
    return []


_ENCODERS: Mapping[type, Callable[..., list[str | bytes]]] = {
    Configure: GeminiCodec._configure,
    Seed: GeminiCodec._seed,
    BeginTurn: GeminiCodec._begin_turn,
    Audio: GeminiCodec._audio,
    EndTurn: GeminiCodec._end_turn,
    Ask: GeminiCodec._ask,
    Cancel: GeminiCodec._cancel,
    ToolOutput: GeminiCodec._tool_output,
    Truncate: _nothing,
    Forget: _nothing,
    Probe: _nothing,
}


def _remark(instructions: str) -> str:
    """Instructions stand in the caller's mouth here: brackets say that they are no words of the caller."""
    return f"({instructions})" if instructions and not instructions.startswith("(") else instructions


def _realtime_text(text: str) -> str:
    return dump({"realtimeInput": {"text": text}})


def _tool_response(output: str) -> Json:
    """The result as the object the service wants, under the key that has the meaning."""
    try:
        value = orjson.loads(output)
    except orjson.JSONDecodeError:
        value = output
    if isinstance(value, dict) and "error" in value:
        return value
    return {"output": value}


def _milliseconds(duration: str) -> int:
    """A protobuf duration ("50s", "9.5s"); 0 for what is none."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)s", duration)
    return int(float(found.group(1)) * 1000) if found else 0
