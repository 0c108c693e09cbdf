"""The notes of a call, gathered: one entry per turn, exchange, ask, link and tool call, and lists of what happened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """A note and when it was made (loop time, ns)."""

    now: int
    kind: str
    fields: Mapping[str, Any]


class Gathered:
    """What the notes said, by number, in the order it was first heard of. Times are ms since the first note. Kinds it
    does not know and fields that are missing are passed over."""

    def __init__(self) -> None:
        self._start: int | None = None
        self.ms = 0
        self.head: dict[str, Any] = {"agent": "", "providers": [], "leg": ""}
        self.ended: str | None = None
        self.concealed = 0
        self.turns: dict[int, dict[str, Any]] = {}
        self.speech: list[dict[str, Any]] = []
        self.exchanges: dict[int, dict[str, Any]] = {}
        self.asks: dict[int, dict[str, Any]] = {}
        self.links: dict[int, dict[str, Any]] = {}
        self.tools: dict[int, dict[str, Any]] = {}
        self.usage: list[dict[str, Any]] = []
        self.lists: dict[str, list[dict[str, Any]]] = {
            name: []
            for name in (
                "swaps", "faults", "barge_in", "cut", "underrun", "dtmf", "silence_prompt", "phrase",
                "last_rung", "hold_over", "noticed", "opinion", "line_away",
            )
        }  # fmt: skip

    def add(self, note: Entry) -> None:
        if self._start is None:
            self._start = note.now
        self.ms = round((note.now - self._start) / 1_000_000)
        if note.kind in self.lists:
            self.lists[note.kind].append({"at_ms": self.ms, **note.fields})
        handle = self._HANDLERS.get(note.kind)
        if handle is not None:
            handle(self, note.fields)

    # --------------------------------------------------------------------------------------------------- call, turns

    def _call_started(self, fields: Mapping[str, Any]) -> None:
        for name in self.head:
            if name in fields:
                self.head[name] = fields[name]

    def _call_ended(self, fields: Mapping[str, Any]) -> None:
        self.ended = str(fields.get("reason", ""))

    def _line_covered(self, fields: Mapping[str, Any]) -> None:
        self.concealed = fields.get("ms", 0)

    def _turn(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        number = fields.get("turn", 0)
        fresh = {
            "turn": number, "kind": "speech", "state": "open", "exchange": None, "began_ms": None, "ended_ms": None,
            "provisional": False, "text": "", "lag": None, "exact": False, "noted": self.ms,
        }  # fmt: skip
        return self.turns.setdefault(number, fresh)

    def _turn_began(self, fields: Mapping[str, Any]) -> None:
        turn = self._turn(fields)
        turn |= {"began_ms": fields.get("at_ms"), "provisional": fields.get("provisional", False)}
        if turn["began_ms"] is not None:
            turn["lag"] = self.ms - turn["began_ms"]

    def _turn_ended(self, fields: Mapping[str, Any]) -> None:
        turn = self._turn(fields)
        turn |= {"state": "ended", "kind": fields.get("kind", "speech"), "ended_ms": fields.get("at_ms")}
        if fields.get("began_ms") is not None:
            turn["began_ms"] = fields["began_ms"]
        if turn["ended_ms"] is not None:
            turn |= {"lag": self.ms - turn["ended_ms"] - self._gap(), "exact": True}
        if "digits" in fields:
            turn["digits"] = fields["digits"]
        self._join(turn)

    def _gap(self) -> int:
        """How long the line was away until this very moment: what ends a turn then was said before."""
        last = self.lists["line_away"][-1:]
        return sum(item.get("ms") or 0 for item in last if item["at_ms"] == self.ms)

    def _join(self, turn: dict[str, Any]) -> None:
        """A turn that no exchange was opened with belongs to the one that is open."""
        if turn["exchange"] is None:
            exchange = next((item for item in reversed(self.exchanges.values()) if item["state"] == "open"), None)
            if exchange is not None:
                self._put_into(exchange, turn["turn"])

    def _put_into(self, exchange: dict[str, Any], number: int) -> None:
        if number not in exchange["turns"]:
            exchange["turns"].append(number)
        if number in self.turns:
            self.turns[number]["exchange"] = exchange["exchange"]

    def _turn_withdrawn(self, fields: Mapping[str, Any]) -> None:
        self._turn(fields).update(state="withdrawn", why=fields.get("why", ""), withdrawn_ms=self.ms)

    def _caller_text(self, fields: Mapping[str, Any]) -> None:
        self._turn(fields).update(text=fields.get("text", ""), text_from=fields.get("provider", ""))

    # ------------------------------------------------------------------------------------------ exchanges, asks, heard

    def _exchange(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        number = fields.get("exchange", 0)
        fresh = {
            "exchange": number, "kind": "speech", "state": "open", "turns": [], "opened_ms": self.ms,
            "settled_ms": None, "asks": [], "heard": [],
        }  # fmt: skip
        return self.exchanges.setdefault(number, fresh)

    def _exchange_opened(self, fields: Mapping[str, Any]) -> None:
        exchange = self._exchange(fields)
        exchange["kind"] = fields.get("kind", exchange["kind"])
        for turn in fields.get("turns", ()):
            self._put_into(exchange, turn)

    def _exchange_reopened(self, fields: Mapping[str, Any]) -> None:
        self._exchange(fields).update(state="open", settled_ms=None)

    def _exchange_settled(self, fields: Mapping[str, Any]) -> None:
        self._exchange(fields).update(state=fields.get("state", ""), settled_ms=self.ms)

    def _ask(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        number = fields.get("ask", 0)
        fresh = {
            "ask": number, "exchange": fields.get("exchange"), "provider": fields.get("provider", ""),
            "link": fields.get("link"), "continuation": fields.get("continuation", False), "asked_ms": self.ms,
            "first_audio_ms": None, "heard_ms": 0,
        }  # fmt: skip
        return self.asks.setdefault(number, fresh)

    def _asked(self, fields: Mapping[str, Any]) -> None:
        ask = self._ask(fields)
        if ask["exchange"] is not None:
            asks = self._exchange(fields)["asks"]
            if ask["ask"] not in asks:
                asks.append(ask["ask"])

    def _first_audio(self, fields: Mapping[str, Any]) -> None:
        self._ask(fields)["first_audio_ms"] = fields.get("after_ms")

    def _agent_began(self, fields: Mapping[str, Any]) -> None:
        number = fields.get("ask", 0)
        provider = self._ask(fields)["provider"] if number else ""
        self.speech.append({
            "ask": number, "provider": fields.get("provider", provider), "began_ms": self.ms, "ended_ms": None,
            "heard_ms": None,
        })  # fmt: skip

    def _agent_ended(self, fields: Mapping[str, Any]) -> None:
        for speech in reversed(self.speech):
            if speech["ask"] == fields.get("ask", 0) and speech["ended_ms"] is None:
                speech.update(ended_ms=self.ms, heard_ms=fields.get("heard_ms"))
                return

    def _heard(self, fields: Mapping[str, Any]) -> None:
        piece = {name: fields.get(name) for name in ("ask", "provider", "text", "heard_ms", "complete")}
        self._exchange(fields)["heard"].append(piece)
        self._ask(fields)["heard_ms"] = fields.get("heard_ms", 0)

    # ------------------------------------------------------------------------------------------ links, faults, swaps

    def _link(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        number = fields.get("link", 0)
        fresh = {
            "link": number, "provider": fields.get("provider", ""), "purpose": "", "opened_ms": self.ms,
            "ready_ms": None, "closed_ms": None, "why": "",
        }  # fmt: skip
        return self.links.setdefault(number, fresh)

    def _link_opened(self, fields: Mapping[str, Any]) -> None:
        self._link(fields)["purpose"] = fields.get("purpose", "")

    def _link_ready(self, fields: Mapping[str, Any]) -> None:
        self._link(fields)["ready_ms"] = self.ms

    def _link_closed(self, fields: Mapping[str, Any]) -> None:
        self._link(fields).update(closed_ms=self.ms, why=fields.get("why", ""))

    def _fault(self, fields: Mapping[str, Any]) -> None:
        self.lists["faults"].append({"at_ms": self.ms, **fields})

    def _swap(self, fields: Mapping[str, Any]) -> None:
        asks = (
            ask for ask in reversed(self.asks.values())
            if ask["provider"] == fields.get("to") and ask["exchange"] == fields.get("exchange")
        )  # fmt: skip
        ask = next(asks, None)
        self.lists["swaps"].append({"at_ms": self.ms, "ask": None if ask is None else ask["ask"], **fields})

    # ------------------------------------------------------------------------------------------------- tools, usage

    def _tool(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        number = fields.get("call", 0)
        fresh = {
            "call": number, "name": fields.get("name", ""), "provider": fields.get("provider", ""),
            "called_ms": self.ms, "status": "running" if number else "built in", "after_ms": None,
        }  # fmt: skip
        return self.tools.setdefault(number, fresh)

    def _tool_called(self, fields: Mapping[str, Any]) -> None:
        self._tool(fields)

    def _tool_done(self, fields: Mapping[str, Any]) -> None:
        self._tool(fields).update(status=fields.get("status", ""), after_ms=fields.get("after_ms"))

    def _used(self, fields: Mapping[str, Any]) -> None:
        self.usage.append(dict(fields))

    _HANDLERS: Mapping[str, Callable[[Gathered, Mapping[str, Any]], None]] = {
        "call_started": _call_started,
        "call_ended": _call_ended,
        "concealed": _line_covered,
        "turn_began": _turn_began,
        "turn_ended": _turn_ended,
        "turn_withdrawn": _turn_withdrawn,
        "caller_text": _caller_text,
        "exchange_opened": _exchange_opened,
        "exchange_reopened": _exchange_reopened,
        "exchange_settled": _exchange_settled,
        "asked": _asked,
        "first_audio": _first_audio,
        "agent_began": _agent_began,
        "agent_ended": _agent_ended,
        "heard": _heard,
        "link_opened": _link_opened,
        "link_ready": _link_ready,
        "link_closed": _link_closed,
        "fault": _fault,
        "swap": _swap,
        "tool_called": _tool_called,
        "tool_done": _tool_done,
        "usage": _used,
    }
