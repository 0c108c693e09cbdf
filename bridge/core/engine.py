"""A call together with the wire languages of its links: still sans-I/O, and exactly what a replay runs again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from audio.auto_gain import AutoGain
from audio.frame import Frame
from audio.turns import TurnDetector
from bridge.core.call import Call
from bridge.core.effects import Close, Effect, Open, Send
from bridge.core.events import Event, FromLink, LinkDown
from bridge.core.plan import CallSpec
from providers.base import Audio, Failure
from providers.codec import Dial, Target
from providers.registry import codec_for
from providers.translate import Translator


@dataclass(slots=True)  # made for every frame: frozen would take twice as long
class Transmit:
    """Write these messages to the link's socket, in order; str is a text frame, bytes a binary frame."""

    link: int
    messages: list[str | bytes]


Action = Effect | Transmit


class Engine:
    """Feeds a `Call` and turns its commands into messages.

    The shell performs the returned actions in order; `Send` never appears among them, `Transmit` does instead.
    `deadline` (ns), `playing` (the pacer should pull) and `ended` are valid after each call, and can differ from what
    they were before it only when it `moved` something.
    """

    def __init__(self, spec: CallSpec, targets: Mapping[str, Target], ears: TurnDetector | None = None) -> None:
        self._spec = spec
        self._targets = targets
        self._call = call = Call(spec, ears or TurnDetector(spec.agent.turns, spec.leg.rate))
        self._timers, self._playout = call.timers, call.playout
        self._translators: dict[int, Translator] = {}
        self.deadline: int | None = None
        self.playing = False
        self.ended = False
        self.moved = True

    def start(self, now: int) -> list[Action]:
        effects = self._call.start(now)
        self._look()
        return self._translate(effects)

    def heard(self, frame: Frame, now: int) -> list[Action]:
        """A frame of the caller in the leg's format, usually 20 ms."""
        timers = self._timers
        due = timers.next
        effects = self._call.heard(frame, now)
        if timers.next is due:  # the very same: nothing fell due, and no timer was set
            # Nearly every frame: nothing was decided but, in a turn, to send it on.
            if not effects:
                self.moved = False
                return effects  # type: ignore[return-value]
            first = effects[0]
            if len(effects) == 1 and type(first) is Send and type(first.command) is Audio:
                self.moved = False
                return self._transmit(first)
        self._look()
        return self._translate(effects)

    def handle(self, event: Event, now: int) -> list[Action]:
        effects = self._call.handle(event, now)
        self._look()
        return self._translate(effects)

    def release(self) -> None:
        """The call has ended and nothing will be asked: see `Call.release`."""
        self._call.release()
        self._translators.clear()

    def _look(self) -> None:
        self.moved = True
        self.ended = ended = self._call.ended
        self.playing = self._playout.ready or self._playout.filling
        self.deadline = None if ended else self._timers.next

    def received(self, link: int, message: str | bytes, now: int) -> list[Action]:
        """A raw message of the provider. Unknown or closed links are ignored."""
        translator = self._translators.get(link)
        if translator is None:
            return []
        actions: list[Action] = []
        for event in translator.decode(message):
            actions += self.handle(FromLink(link, event), now)
        return actions

    def failed(self, link: int, failure: Failure, now: int) -> list[Action]:
        """The link's dial or socket ended."""
        translator = self._translators.pop(link, None)
        if translator is None:
            return []
        return self.handle(LinkDown(link, translator.fault(failure)), now)

    def dial(self, link: int) -> Dial:
        """Where link `link`, just opened, is to be dialled."""
        return self._translators[link].dial()

    def _transmit(self, send: Send) -> list[Action]:
        translator = self._translators.get(send.link)
        messages = translator.encode(send.command) if translator is not None else None
        return [Transmit(send.link, messages)] if messages else []

    def _translate(self, effects: list[Effect]) -> list[Action]:
        actions: list[Action] = []
        for effect in effects:
            kind = type(effect)
            if kind is Send:
                actions += self._transmit(effect)  # type: ignore[arg-type]
                continue
            if kind is Open:
                target = self._targets[effect.provider]  # type: ignore[union-attr]
                self._translators[effect.link] = self._translator(target)  # type: ignore[union-attr]
            elif kind is Close:
                self._translators.pop(effect.link, None)  # type: ignore[union-attr]
            actions.append(effect)
        return actions

    def _translator(self, target: Target) -> Translator:
        leg = self._spec.leg
        return Translator(codec_for(target, leg), leg, AutoGain(leg) if self._spec.agent.line.auto_gain else None)
