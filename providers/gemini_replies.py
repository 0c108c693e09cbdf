"""Which ask a Gemini message belongs to.

The service gives replies no ids. What is known: it generates only after an ask; a begin-of-turn stops what runs, and
then `interrupted` and `turnComplete` of the stopped reply still come, perhaps after more of its audio; `turnComplete`
is held back until the service believes that the caller has heard everything.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

from providers.base import (
    CallerText,
    Event,
    Fault,
    FaultClass,
    Noticed,
    ReplyAudio,
    ReplyComplete,
    ReplyEnded,
    ReplyStarted,
    ReplyText,
    ToolCalled,
    Usage,
)
from providers.wire import Json, bytes_of, dict_of, list_of, shorten, text_of

Outcome = Literal["completed", "cancelled", "failed", "refused", "empty"]

# Reasons of `turnCompleteReason` that are refusals of the content, not failures of the service.
_REFUSALS = ("PROHIBITED", "SAFETY", "REJECTED", "BLOCK", "RECITATION", "SPII")


class _Asked:
    """An ask nothing has come of yet. `turn`: the last caller turn before it. `void`: it was interrupted; perhaps the
    service never began."""

    __slots__ = ("ask", "turn", "void")

    def __init__(self, ask: int, turn: int) -> None:
        self.ask = ask
        self.turn = turn
        self.void = False


class _Reply:
    """What is being said. `told` False: an interrupted reply nothing was heard of; it ends without a word.
    `generated`: nothing more of it will come but its end. `complete`: so said with a ReplyComplete."""

    __slots__ = ("ask", "audio", "called", "complete", "cut", "generated", "item", "told", "turn")

    def __init__(self, asked: _Asked, item: str, told: bool) -> None:
        self.ask = asked.ask
        self.turn = asked.turn
        self.item = item
        self.told = told
        self.audio = False
        self.called = False
        self.complete = False
        self.cut = False
        self.generated = False


class GeminiReplies:
    """`turn`: the caller turn last begun. `usage`: counts that no end of a reply has taken along yet.

    `ends_with_tools`: a tool call is the end of a reply, because the model waits for the result in silence.
    """

    def __init__(self, ends_with_tools: bool) -> None:
        self.turn = 0
        self.usage: Usage | None = None
        self._ends_with_tools = ends_with_tools
        self._asked: deque[_Asked] = deque()
        self._reply: _Reply | None = None
        self._items = 0
        self._texts: dict[int, str] = {}  # caller turns whose text is not final
        self._restart: Literal["", "expected", "begun"] = ""
        self._held_open = False  # a turnComplete that was not the end, because work goes on

    @property
    def idle(self) -> bool:
        return self._reply is None

    # ------------------------------------------------------------------------------------------------------- commands

    def asked(self, ask: int) -> None:
        self._asked.append(_Asked(ask, self.turn))

    def adopt(self, ask: int) -> None:
        """What is being said without being asked for is the reply to `ask`."""
        if self._reply is not None and not self._reply.ask:
            self._reply.ask = ask

    def interrupt(self) -> None:
        """We sent something that stops whatever is being generated."""
        if self._reply is not None:
            self._reply.cut = True
        for asked in self._asked:
            asked.void = True
        self._restart = ""

    def cancel(self, ask: int) -> None:
        if self._reply is not None and self._reply.ask == ask:
            self._reply.cut = True
        for asked in self._asked:
            asked.void = asked.void or asked.ask == ask

    def expect_restart(self) -> None:
        """The ask was sent twice, on purpose: the second may interrupt what the first began."""
        self._restart = "expected"

    # --------------------------------------------------------------------------------------------------------- events

    def said(self, content: Json, out: list[Event]) -> None:
        """Audio and transcripts of a `serverContent`."""
        heard = content.get("inputTranscription")
        if isinstance(heard, dict):
            self._caller_text(heard, out)
        parts = content.get("modelTurn")
        if isinstance(parts, dict):
            for part in list_of(parts, "parts"):
                if isinstance(part, dict) and part.get("thought") is not True and "inlineData" in part:
                    self._audio(dict_of(part, "inlineData"), out)
        spoken = content.get("outputTranscription")
        if isinstance(spoken, dict):
            text = text_of(spoken, "text")
            reply = self._current(out) if text else None
            if reply is not None:
                out.append(ReplyText(reply.ask, reply.item, text))

    def called(self, calls: list[tuple[str, str, str]], out: list[Event]) -> None:
        """Tool calls: (id, name, arguments)."""
        reply = self._current(out)
        if reply is None:
            return
        reply.called = True
        out += [ToolCalled(reply.ask, *call) for call in calls]
        if self._ends_with_tools:
            self._reply = None
            self._finish(reply, "", out)

    def ended(self, content: Json, out: list[Event]) -> None:
        """What a `serverContent` says is over."""
        if content.get("interrupted") is True:
            self._interrupted()
        if content.get("generationComplete") is True:
            self._complete(out)
        status = text_of(content, "interactionStatus")
        if content.get("turnComplete") is True:
            at_work = status == "IN_PROGRESS" and not (self._reply is not None and self._reply.called)
            self._held_open = at_work
            if not at_work:
                self._turn_complete(text_of(content, "turnCompleteReason"), out)
        elif status == "IDLE" and self._held_open:
            self._held_open = False
            self._turn_complete("", out)

    # ------------------------------------------------------------------------------------------------------- internals

    def _audio(self, inline: Json, out: list[Event]) -> None:
        if not text_of(inline, "mimeType").startswith("audio/"):
            return
        data = bytes_of(inline.get("data"))
        if data is None:
            out.append(Noticed("skipped: audio that is not base64"))
            return
        reply = self._current(out) if data else None
        if reply is not None:
            reply.audio = True
            out.append(ReplyAudio(reply.ask, reply.item, data))

    def _current(self, out: list[Event]) -> _Reply | None:
        """The reply that content belongs to; None for remains of an interrupted one nobody waits for."""
        reply = self._reply
        over = reply is not None and (reply.generated or not reply.told)
        if reply is not None and over and any(not asked.void for asked in self._asked):
            # Its end was never told, but what comes now cannot be part of it.
            self._reply = None
            if reply.told:
                self._finish(reply, "", out)
        if self._reply is None:
            reply = self._begin(self._next_asked(), told=True)
            out.append(ReplyStarted(reply.ask))
        else:
            reply = self._reply
        return reply if reply.told else None

    def _next_asked(self) -> _Asked:
        """Content begins. A newer ask is likelier than a voided one: the stopped generation either was announced by
        `interrupted` before, or never began."""
        for asked in list(self._asked):
            if not asked.void:
                while self._asked.popleft() is not asked:
                    pass
                return asked
        return self._asked.popleft() if self._asked else _Asked(0, self.turn)

    def _begin(self, asked: _Asked, told: bool) -> _Reply:
        self._items += 1
        item = f"gemini-{asked.ask}" if asked.ask else f"gemini-unasked-{self._items}"
        self._reply = _Reply(asked, item, told)
        return self._reply

    def _interrupted(self) -> None:
        if self._restart == "expected":
            self._restart = "begun"
        elif self._reply is not None:
            self._reply.cut = True
        else:
            known = self._asked and self._asked[0].void
            asked = self._asked.popleft() if known else _Asked(0, self.turn)
            self._begin(asked, told=False).cut = True

    def _complete(self, out: list[Event]) -> None:
        self._restart = ""
        reply = self._reply
        if reply is None:
            return
        reply.generated = True
        if reply.audio and not reply.cut and not reply.complete:
            reply.complete = True
            out.append(ReplyComplete(reply.ask))

    def _turn_complete(self, reason: str, out: list[Event]) -> None:
        if self._restart == "begun":
            self._restart = ""
            return
        self._restart = ""
        self._final_texts(out)
        reply = self._reply
        if reply is None:
            if not self._asked:
                return
            asked = self._asked.popleft()
            if asked.void:
                return
            reply = self._begin(asked, told=True)
            out.append(ReplyStarted(reply.ask))
        self._reply = None
        if reply.told:
            self._finish(reply, reason, out)

    def _finish(self, reply: _Reply, reason: str, out: list[Event]) -> None:
        usage, self.usage = self.usage, None
        outcome, fault = _outcome(reply, reason)
        if outcome == "completed" and reply.audio and not reply.complete:
            out.append(ReplyComplete(reply.ask))
        out.append(ReplyEnded(reply.ask, outcome, fault, usage))

    # ------------------------------------------------------------------------------------------------------ the caller

    def _caller_text(self, heard: Json, out: list[Event]) -> None:
        """Pieces belong to the turn last begun, unless it has just interrupted a reply whose end is still to come: then
        they are the last of the turn before."""
        reply = self._reply
        turn = reply.turn if reply is not None and reply.cut and not reply.generated else self.turn
        text = text_of(heard, "text")
        if text:
            self._texts[turn] = self._texts.get(turn, "") + text
            out.append(CallerText(turn, text, final=False))
        if heard.get("finished") is True and turn in self._texts:
            out.append(CallerText(turn, self._texts.pop(turn).strip(), final=True))

    def _final_texts(self, out: list[Event]) -> None:
        """A reply is over: the turns before it are known as well as they will be."""
        reply = self._reply
        upto = reply.turn if reply is not None else self.turn
        for turn in [turn for turn in self._texts if turn <= upto]:
            out.append(CallerText(turn, self._texts.pop(turn).strip(), final=True))


def _outcome(reply: _Reply, reason: str) -> tuple[Outcome, Fault | None]:
    if any(word in reason for word in _REFUSALS):
        return "refused", Fault(FaultClass.REFUSED, shorten(f"the reply was refused: {reason}"), shorten(reason, 80))
    if reply.called or reply.complete:
        return "completed", None
    if reply.cut:
        return "cancelled", None
    if reply.audio:
        return "completed", None
    words = "the turn ended without audio and without a tool call"
    return "empty", Fault(FaultClass.EMPTY, shorten(f"{words} ({reason})" if reason else words), shorten(reason, 80))
