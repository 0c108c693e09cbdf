"""A fault as evidence: for the call's record with the phase it struck in, and for the shared health board."""

from __future__ import annotations

from bridge.core.desk import Desk
from bridge.core.effects import Health
from bridge.core.links import Link
from bridge.core.speaker import Speaker
from providers.base import Fault, FaultClass

UNCOUNTED = {FaultClass.PLANNED, FaultClass.EXPIRED, FaultClass.REFUSED}


class FaultLog:
    """Writes faults down; decides nothing."""

    def __init__(self, desk: Desk, speaker: Speaker) -> None:
        self._desk = desk
        self._speaker = speaker

    def fault(self, link: Link, fault: Fault, detection_ms: int, active: bool) -> None:
        desk = self._desk
        desk.note(
            "fault",
            **{"class": fault.kind.value},
            link=link.number,
            provider=link.provider,
            code=fault.code,
            reason=fault.reason,
            phase=self._phase(link, active),
            detection_ms=detection_ms,
        )
        if fault.kind not in UNCOUNTED:
            desk.do(Health(link.provider, fault))

    def _phase(self, link: Link, active: bool) -> str:
        if not link.ready_ns:
            return "configuring" if link.configured else "dialling"
        if not active:
            return "standby"
        exchange = self._desk.conversation.open
        if exchange is None:
            return "speaking" if self._speaker.left else "between turns"
        if not exchange.turns_ended:
            return "caller speaking"
        if self._desk.ledger.running(exchange.id):
            return "tool running"
        reply = exchange.reply
        return "mid-reply" if reply is not None and reply.first_audio_ns is not None else "owed"
