"""Server events of the OpenAI Realtime family, read into ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import orjson

from providers.base import (
    Event,
    Failed,
    Fault,
    FaultClass,
    Noticed,
    Probed,
    RateLimits,
    Ready,
    ReplyAudio,
    ReplyComplete,
    ReplyEnded,
    ReplyStarted,
    ReplyText,
    ToolCalled,
    UsageReported,
)
from providers.dialect import Dialect
from providers.faults import error_class, error_of, is_benign
from providers.replies import CallerTurns, Outcome, Replies, Reply, outcome_of, settle_complete, wake
from providers.secrets import redact
from providers.usage import openai_usage, transcription_usage
from providers.wire import Json, bytes_of, dict_of, list_of, number_of, shorten, text_of

_OF_THE_LINK = (FaultClass.ACCOUNT, FaultClass.EXPIRED)
_OF_THE_SERVER = (FaultClass.RATE_LIMITED, FaultClass.OVERLOADED)


class Reader:
    """One handler per event type. `trouble` is the last error that may explain why the connection ends."""

    def __init__(self, dialect: Dialect, secrets: Sequence[str], word_timings: bool) -> None:
        self.replies = Replies()
        self.turns = CallerTurns()
        self.trouble: Fault | None = None
        self._secrets = secrets
        self._ready = False
        self._session_id = ""
        self._seeds: set[str] = set()  # items sent and not acknowledged
        self._clears: list[bool] = []  # clears sent; True for a probe
        self._handlers = _handlers(dialect.audio, dialect.transcript, dialect.text, dialect.item_added, word_timings)

    def read(self, event: Json) -> list[Event]:
        kind = event.get("type")
        if type(kind) is not str:
            return [Noticed("skipped: a message without type")]
        handler = self._handlers.get(kind)
        if handler is None:
            return []
        out: list[Event] = []
        handler(self, event, out)
        return out

    # --------------------------------------------------------------------------------------- what the codec announces

    def configuring(self) -> None:
        self._ready = False

    def seeding(self, item: str) -> None:
        self._seeds.add(item)

    def clearing(self, probe: bool) -> None:
        self._clears.append(probe)

    # -------------------------------------------------------------------------------------------------------- session

    def _session_created(self, event: Json, out: list[Event]) -> None:
        self._session_id = text_of(dict_of(event, "session"), "id")

    def _session_updated(self, event: Json, out: list[Event]) -> None:
        """Only the first one acknowledges our configuration; nobody else changes the session."""
        if self._ready:
            return
        self._ready = True
        session = dict_of(event, "session")
        created, expires = number_of(session, "created_at"), number_of(session, "expires_at")
        left = int((expires - created) * 1000) if 0 < created < expires else None
        out.append(Ready(text_of(session, "id") or self._session_id, left))

    def _acknowledged(self, event: Json, out: list[Event]) -> None:
        self._seeds.discard(text_of(dict_of(event, "item"), "id"))

    def _cleared(self, event: Json, out: list[Event]) -> None:
        if self._clears and self._clears.pop(0):
            out.append(Probed())

    def _rate_limits(self, event: Json, out: list[Event]) -> None:
        shares = [
            (min(1.0, number_of(limit, "remaining") / number_of(limit, "limit")), number_of(limit, "reset_seconds"))
            for limit in list_of(event, "rate_limits")
            if isinstance(limit, dict) and number_of(limit, "limit") > 0
        ]
        if shares:
            share, seconds = min(shares)
            out.append(RateLimits(share, int(min(seconds, 1e9) * 1000)))

    def _warning(self, event: Json, out: list[Event]) -> None:
        warning = dict_of(event, "warning")
        out.append(self._noticed(f"warning {text_of(warning, 'code')}: {text_of(warning, 'message')}"))

    def _noticed(self, text: str) -> Noticed:
        return Noticed(shorten(redact(text[:1000], self._secrets)))

    # ------------------------------------------------------------------------------------------------------- the reply

    def _created(self, event: Json, out: list[Event]) -> None:
        self.trouble = None
        response = dict_of(event, "response")
        id = text_of(response, "id")
        if not self.replies.known(id):
            self.replies.create(id, _ask_named(response), out)

    def _audio(self, event: Json, out: list[Event]) -> None:
        reply = self.replies.find(event.get("response_id"), out)
        if reply is None or reply.ended:
            return
        data = bytes_of(event.get("delta"))
        if data is None:
            out.append(Noticed("skipped: audio that is not base64"))
            return
        if not data:
            return
        if not reply.told:
            wake(reply, out)
        id = text_of(event, "item_id")
        reply.item(id).size += len(data)
        reply.audio = True
        out.append(ReplyAudio(reply.ask, id, data))

    def _text(self, event: Json, out: list[Event]) -> None:
        self._add_text(event, text_of(event, "delta"), None, out)

    def _timed_text(self, event: Json, out: list[Event]) -> None:
        at = event.get("audio_offset_ms")
        usable = isinstance(at, (int, float)) and not isinstance(at, bool)
        self._add_text(event, text_of(event, "text"), int(number_of(event, "audio_offset_ms")) if usable else None, out)

    def _add_text(self, event: Json, text: str, at_ms: int | None, out: list[Event]) -> None:
        reply = self.replies.find(event.get("response_id"), out)
        if reply is None or reply.ended or not text:
            return
        wake(reply, out)
        out.append(ReplyText(reply.ask, text_of(event, "item_id"), text, at_ms))

    def _audio_done(self, event: Json, out: list[Event]) -> None:
        reply = self.replies.find(event.get("response_id"), out)
        if reply is not None:
            reply.item(text_of(event, "item_id")).audio_done = True
            settle_complete(reply, out)

    def _text_done(self, event: Json, out: list[Event]) -> None:
        reply = self.replies.find(event.get("response_id"), out)
        if reply is not None:
            reply.item(text_of(event, "item_id")).text_done = True
            settle_complete(reply, out)

    def _item_added(self, event: Json, out: list[Event]) -> None:
        reply = self.replies.find(event.get("response_id"), out)
        if reply is not None:
            self._note_item(reply, dict_of(event, "item"))

    def _note_item(self, reply: Reply, body: Json) -> None:
        item = reply.item(text_of(body, "id"))
        item.tool = text_of(body, "type") == "function_call"
        item.name = text_of(body, "name") or item.name
        item.call_id = text_of(body, "call_id") or item.call_id

    def _item_done(self, event: Json, out: list[Event]) -> None:
        reply = self.replies.find(event.get("response_id"), out)
        if reply is None:
            return
        body = dict_of(event, "item")
        self._note_item(reply, body)
        if text_of(body, "status") == "incomplete":
            return
        self._call_from_item(reply, body, out)
        reply.item(text_of(body, "id")).done = True
        settle_complete(reply, out)

    def _arguments_done(self, event: Json, out: list[Event]) -> None:
        """Voice Live's may lack the name, which the item brought."""
        reply = self.replies.find(event.get("response_id"), out)
        if reply is not None:
            item = reply.item(text_of(event, "item_id"))
            item.tool = True
            item.name = text_of(event, "name") or item.name
            item.call_id = text_of(event, "call_id") or item.call_id
            self._call(reply, item.call_id, item.name, event.get("arguments"), out)

    def _call_from_item(self, reply: Reply, body: Json, out: list[Event]) -> None:
        if text_of(body, "type") == "function_call":
            self._call(reply, text_of(body, "call_id"), text_of(body, "name"), body.get("arguments"), out)

    def _call(self, reply: Reply, call_id: str, name: str, arguments: Any, out: list[Event]) -> None:
        """Once per call, with whole arguments only: a reply that was stopped ends with whatever it had."""
        if not call_id or not name or call_id in reply.calls or reply.cancelled or reply.ended:
            return
        text = arguments if isinstance(arguments, str) else ""
        if not _is_object(text or "{}"):
            out.append(self._noticed(f"skipped: call of {name} with unreadable arguments"))
            return
        wake(reply, out)
        reply.calls.add(call_id)
        out.append(ToolCalled(reply.ask, call_id, name, text or "{}"))

    def _done(self, event: Json, out: list[Event]) -> None:
        response = dict_of(event, "response")
        id = text_of(response, "id")
        usage = openai_usage(dict_of(response, "usage") or dict_of(event, "usage"))
        reply = self.replies.find(id, out) if not id or self.replies.known(id) else None
        if reply is None and id:
            reply = self.replies.create(id, _ask_named(response), out)
        if reply is None or reply.ended:
            if usage is not None:
                out.append(UsageReported(usage))
            return
        status = text_of(response, "status")
        if status == "completed":
            for body in list_of(response, "output"):
                if isinstance(body, dict):
                    self._call_from_item(reply, body, out)
        if not reply.told:  # an error event told its failure, and nothing came of it since
            reply.ended = True
            if usage is not None:
                out.append(UsageReported(usage))
            return
        outcome, fault = outcome_of(reply, status, response.get("status_details"), self._secrets)
        if outcome == "failed":
            self.trouble = fault
        if outcome == "completed":
            self.trouble = None
            if reply.audio and not reply.complete:
                reply.complete = True
                out.append(ReplyComplete(reply.ask))
        reply.ended = True
        out.append(ReplyEnded(reply.ask, outcome, fault, usage))

    # ------------------------------------------------------------------------------------------------------ the caller

    def _committed(self, event: Json, out: list[Event]) -> None:
        self.turns.committed(text_of(event, "item_id"))

    def _caller_piece(self, event: Json, out: list[Event]) -> None:
        text = text_of(event, "delta")
        if text:
            out.append(self.turns.piece(text_of(event, "item_id"), text))

    def _caller_text(self, event: Json, out: list[Event]) -> None:
        """xAI repeats it while the caller still speaks, and says so in `status`."""
        if text_of(event, "status") == "in_progress":
            return
        text = self.turns.whole(text_of(event, "item_id"), text_of(event, "transcript"))
        if text is not None:
            out.append(text)
        usage = transcription_usage(dict_of(event, "usage"))
        if usage is not None:
            out.append(UsageReported(usage))

    def _caller_text_failed(self, event: Json, out: list[Event]) -> None:
        fault = error_of(event.get("error"), self._secrets)
        out.append(self._noticed(f"no transcript of a caller turn: {fault.reason}"))

    # ---------------------------------------------------------------------------------------------------------- errors

    def _error(self, event: Json, out: list[Event]) -> None:
        error = event.get("error")
        body: Json = error if isinstance(error, dict) else {}
        fault = error_of(error, self._secrets)
        code, message = text_of(body, "code"), text_of(body, "message")
        about, _, digits = text_of(body, "event_id").partition("-")
        number = _number(digits)
        if about == "turn" or code == "input_audio_buffer_commit_empty":
            self.turns.refused(number if about == "turn" else None)
        if is_benign(code, message):
            out.append(self._noticed(f"{code}: {fault.reason}"))
            if code == "conversation_already_has_active_response":
                self._turned_away(number if about == "ask" else self.replies.newest, out)
            return
        kind = error_class(code, text_of(body, "type"), message)
        ours = about in ("configure", "seed")
        if ours or kind in _OF_THE_LINK or not self._ready:
            if ours and kind in (None, FaultClass.REFUSED):
                fault = replace(fault, kind=FaultClass.CONFIG)
            self.trouble = fault
            out.append(Failed(fault))
        elif about == "ask" and number is not None:
            self._reply_failed(number, fault, out)
        elif not about and kind in (*_OF_THE_SERVER, FaultClass.REFUSED):
            self._unnamed(fault, out)
        elif not about and kind is FaultClass.CONFIG and self._seeds:
            self.trouble = fault  # Azure does not say what it refused, and these are what is under way
            out.append(Failed(fault))
        else:
            out.append(self._noticed(f"error {fault.code}: {fault.reason}"))

    def _unnamed(self, fault: Fault, out: list[Event]) -> None:
        """Trouble of the server that names no event of ours: it is the running reply's, else the next one's."""
        running = self.replies.running()
        ask = running.ask if running is not None else self.replies.waiting
        if ask is not None:
            self._reply_failed(ask, fault, out)
        elif fault.kind is FaultClass.REFUSED:
            out.append(self._noticed(f"error {fault.code}: {fault.reason}"))
        else:
            self.trouble = fault
            out.append(Failed(fault))

    def _reply_failed(self, ask: int, fault: Fault, out: list[Event]) -> None:
        """The failed `response.done` that may follow adds nothing."""
        self.trouble = fault
        outcome: Outcome = "refused" if fault.kind is FaultClass.REFUSED else "failed"
        reply = self.replies.of_ask(ask)
        if reply is not None:
            wake(reply, out)
            reply.ended = True
            out.append(ReplyEnded(ask, outcome, fault))
        elif self.replies.drop(ask):
            out += [ReplyStarted(ask), ReplyEnded(ask, outcome, fault)]

    def _turned_away(self, ask: int | None, out: list[Event]) -> None:
        """Another reply was still running: none will come for this ask."""
        if ask is not None and self.replies.drop(ask):
            out += [ReplyStarted(ask), ReplyEnded(ask, "cancelled")]


def _ask_named(response: Json) -> int | None:
    return _number(text_of(dict_of(response, "metadata"), "ask"))


def _number(digits: str) -> int | None:
    return int(digits) if digits.isdecimal() and len(digits) < 10 else None


def _is_object(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


_Handler = Callable[[Reader, Json, list[Event]], None]


@lru_cache(maxsize=16)
def _handlers(audio: str, transcript: str, text: str, item_added: str, word_timings: bool) -> dict[str, _Handler]:
    """Who reads which event in a dialect: one table for all sessions of it."""
    transcribed = "conversation.item.input_audio_transcription"
    handlers: dict[str, _Handler] = {
        f"{audio}.delta": Reader._audio,
        f"{audio}.done": Reader._audio_done,
        f"{transcript}.delta": Reader._text,
        f"{transcript}.done": Reader._text_done,
        f"{text}.delta": Reader._text,
        "response.created": Reader._created,
        "response.done": Reader._done,
        "response.output_item.added": Reader._item_added,
        "response.output_item.done": Reader._item_done,
        "response.function_call_arguments.done": Reader._arguments_done,
        "session.created": Reader._session_created,
        "session.updated": Reader._session_updated,
        item_added: Reader._acknowledged,
        "input_audio_buffer.committed": Reader._committed,
        "input_audio_buffer.cleared": Reader._cleared,
        f"{transcribed}.delta": Reader._caller_piece,
        f"{transcribed}.completed": Reader._caller_text,
        f"{transcribed}.failed": Reader._caller_text_failed,
        "rate_limits.updated": Reader._rate_limits,
        "warning": Reader._warning,
        "error": Reader._error,
    }
    if word_timings:
        # The same words come with their time: one of the two is enough.
        handlers["response.audio_timestamp.delta"] = Reader._timed_text
        del handlers[f"{transcript}.delta"]
    return handlers
