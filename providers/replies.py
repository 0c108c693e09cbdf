"""What a realtime session has under way: replies, the asks they answer, and the caller turns it was given."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Literal

from providers.base import CallerText, Event, Fault, FaultClass, ReplyComplete, ReplyStarted
from providers.faults import error_of
from providers.wire import Json, shorten, text_of

Outcome = Literal["completed", "cancelled", "failed", "refused", "empty"]

_KEPT = 64  # ids of ended replies, items and turns that late events may still name


class Item:
    """One output item of a reply. `size`: audio bytes received of it."""

    __slots__ = ("audio_done", "call_id", "done", "name", "size", "text_done", "tool")

    def __init__(self) -> None:
        self.size = 0
        self.audio_done = False
        self.text_done = False
        self.done = False
        self.tool = False
        self.name = ""
        self.call_id = ""


class Reply:
    """One response. `told` False: its ReplyStarted is still owed, and is only given when something comes of it."""

    __slots__ = ("ask", "audio", "calls", "cancelled", "complete", "ended", "id", "items", "told")

    def __init__(self, id: str, ask: int, told: bool = True) -> None:
        self.id = id
        self.ask = ask
        self.told = told
        self.audio = False
        self.cancelled = False
        self.complete = False
        self.ended = False
        self.calls: set[str] = set()
        self.items: dict[str, Item] = {}

    def item(self, id: str) -> Item:
        found = self.items.get(id)
        if found is None:
            found = self.items[id] = Item()
        return found

    @property
    def received(self) -> bool:
        """All of its audio is here, with its transcript, and nothing else is under way."""
        for item in self.items.values():
            if not (item.done or (item.audio_done and item.text_done and not item.tool)):
                return False
        return self.audio


class Replies:
    """Matches responses to asks: by the metadata that was sent along, else in the order of asking."""

    def __init__(self) -> None:
        self._asked: list[int] = []
        self._failed: set[int] = set()  # their end was told before their response was created
        self._by_id: OrderedDict[str, Reply] = OrderedDict()
        self.current: Reply | None = None

    def asked(self, ask: int) -> None:
        self._asked.append(ask)

    @property
    def waiting(self) -> int | None:
        """The oldest ask no response has been created for."""
        return self._asked[0] if self._asked else None

    @property
    def newest(self) -> int | None:
        """The latest ask no response has been created for."""
        return self._asked[-1] if self._asked else None

    def adopt(self, ask: int) -> None:
        """The running reply nobody asked for is the one to `ask`."""
        reply = self.of_ask(0)
        if reply is not None:
            reply.ask = ask

    def drop(self, ask: int) -> bool:
        """No response will come for `ask`, or one whose failure was told already. False when it does not wait."""
        if ask not in self._asked:
            return False
        self._asked.remove(ask)
        self._failed.add(ask)
        return True

    def create(self, id: str, named: int | None, out: list[Event]) -> Reply:
        """A response began. `named`: the ask its metadata tells."""
        ask = named if named is not None else self._asked.pop(0) if self._asked else 0
        if ask in self._asked:
            self._asked.remove(ask)
        reply = Reply(id, ask, told=ask not in self._failed)
        self._failed.discard(ask)
        self._by_id[id] = reply
        self.current = reply
        if reply.told:
            out.append(ReplyStarted(ask))
        while len(self._by_id) > _KEPT and next(iter(self._by_id.values())).ended:
            self._by_id.popitem(last=False)
        return reply

    def find(self, id: object, out: list[Event]) -> Reply | None:
        """The reply a message belongs to. A message without id belongs to the running one; one with an unknown id
        makes known a response whose beginning was not readable. None: nothing it could belong to."""
        if type(id) is not str or not id:
            current = self.current
            return current if current is not None and not current.ended else None
        found = self._by_id.get(id)
        return found if found is not None else self.create(id, None, out)

    def known(self, id: str) -> bool:
        return id in self._by_id

    def of_ask(self, ask: int) -> Reply | None:
        """The running reply to `ask`."""
        for reply in reversed(self._by_id.values()):
            if reply.ask == ask and not reply.ended:
                return reply
        return None

    def item(self, id: str) -> Item | None:
        """An output item of any reply that is still remembered."""
        for reply in reversed(self._by_id.values()):
            found = reply.items.get(id)
            if found is not None:
                return found
        return None

    def running(self) -> Reply | None:
        """The latest reply that has not ended."""
        for reply in reversed(self._by_id.values()):
            if not reply.ended:
                return reply
        return None


def wake(reply: Reply, out: list[Event]) -> None:
    """Something came of a reply whose failure had been told: it is a reply after all."""
    if not reply.told:
        reply.told = True
        out.append(ReplyStarted(reply.ask))


def settle_complete(reply: Reply, out: list[Event]) -> None:
    """Say once that the reply is complete, when it is; one that was cancelled never is."""
    if not reply.complete and not reply.cancelled and not reply.ended and reply.received:
        reply.complete = True
        out.append(ReplyComplete(reply.ask))


def outcome_of(reply: Reply, status: str, details: Any, secrets: Iterable[str]) -> tuple[Outcome, Fault | None]:
    """How a reply ended: `status` and `status_details` of its `response.done`, and what came of it."""
    told: Json = details if isinstance(details, dict) else {}
    if status == "failed":
        fault = error_of(told.get("error", details), secrets)
        return ("refused" if fault.kind is FaultClass.REFUSED else "failed"), fault
    if status == "cancelled":
        return "cancelled", None
    if status == "incomplete":
        reason = text_of(told, "reason") or "incomplete"
        if reason == "max_output_tokens" and reply.audio:
            return "completed", None
        return "refused", Fault(FaultClass.REFUSED, shorten(f"the reply was cut: {reason}"), shorten(reason, 80))
    if reply.audio or reply.calls:
        return "completed", None
    if reply.cancelled:
        return "cancelled", None
    return "empty", Fault(FaultClass.EMPTY, "the reply ended without audio and without a tool call")


class CallerTurns:
    """Which conversation item carries which caller turn, and the turn's text when it comes in several items."""

    def __init__(self) -> None:
        self._open = 0
        self._committed: list[int] = []  # turns whose item is not known yet
        self._turns: OrderedDict[str, int] = OrderedDict()
        self._texts: dict[int, dict[str, str | None]] = {}

    def begin(self, turn: int) -> None:
        self._open = turn

    def commit(self, turn: int) -> None:
        self._committed.append(turn)

    def refused(self, turn: int | None) -> None:
        """A commit was refused: the oldest unless it is known which."""
        if turn is None:
            if self._committed:
                self._committed.pop(0)
        elif turn in self._committed:
            self._committed.remove(turn)

    def committed(self, item: str) -> None:
        """The server named the item of a committed turn."""
        turn = self._turns.get(item)
        if turn is None:
            self._name(item, self._committed.pop(0) if self._committed else self._open)
        elif turn in self._committed:
            self._committed.remove(turn)

    def seeded(self, item: str, turn: int) -> None:
        """We named the item of a turn that was given as history."""
        self._name(item, turn)

    def piece(self, item: str, text: str) -> CallerText:
        return CallerText(self._turn(item), text, final=False)

    def whole(self, item: str, text: str) -> CallerText | None:
        """The item's text is known; None while other items of the same turn still wait for theirs."""
        turn = self._turn(item)
        texts = self._texts.get(turn, {})
        if item not in texts:
            return CallerText(turn, text, final=True)
        texts[item] = text
        parts = list(texts.values())
        if None in parts:
            return None
        return CallerText(turn, " ".join(part for part in parts if part), final=True)

    def _turn(self, item: str) -> int:
        """Transcripts may begin before the server says which item the turn became."""
        if item not in self._turns:
            self._name(item, self._committed[0] if self._committed else self._open)
        return self._turns[item]

    def _name(self, item: str, turn: int) -> None:
        self._turns[item] = turn
        if turn:
            self._texts.setdefault(turn, {})[item] = None
        while len(self._turns) > _KEPT:
            _, old = self._turns.popitem(last=False)
            self._texts.pop(old, None)
