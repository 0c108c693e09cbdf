"""The agent's mouth: feeds the leg from the playout, ducks, cuts, and says when the agent is heard."""

from __future__ import annotations

from audio.envelope import Envelope
from audio.frame import Frame
from audio.gain import Fader
from audio.turns import TurnDetector
from bridge.core.desk import MS, Desk
from bridge.core.effects import ClearLeg, Emit, SendMark

JOIN_MS = 10  # faded out where a reply is cut short, so that the join does not click
PHRASE = 0  # local phrases have keys <= 0, replies their ask's number


class Speaker:
    """Owns nothing of the conversation: keys are asks (positive) and local phrases (zero and below)."""

    def __init__(self, desk: Desk, ears: TurnDetector) -> None:
        self._desk = desk
        self._ears = ears
        self._fader = Fader(desk.spec.leg)
        self._phrases = PHRASE
        self.sounding: int | None = None
        self.silent_since = 0
        self.underrun: tuple[int, int] | None = None
        self.ended: list[int] = []

    # ------------------------------------------------------------------------------------------------------- filling

    def push(self, ask: int, data: bytes) -> None:
        self._desk.playout.push(ask, data)

    def finish(self, ask: int) -> None:
        """The audio of `ask` is complete."""
        self._desk.playout.finish(ask)
        self._watch_quiet()

    def phrase(self, name: str) -> bool:
        """Queue a local spoken message; False when the agent has no such phrase."""
        data = self._desk.spec.phrases.get(name)
        if not data:
            return False
        self._phrases -= 1
        self._desk.playout.push(self._phrases, data)
        self._desk.playout.finish(self._phrases)
        self._desk.note("phrase", name=name)
        return True

    # ------------------------------------------------------------------------------------------------------- playing

    @property
    def left(self) -> int:
        """Samples the caller is still to hear."""
        return self._desk.playout.left(self._desk.now)

    def pulled(self) -> None:
        """One slot of the pacer."""
        desk = self._desk
        outgoing = desk.playout.pull(desk.now)
        if outgoing is None:
            return
        if outgoing.began:
            self._began(outgoing.key)
        if outgoing.underrun_ns:
            self.underrun = (outgoing.key, outgoing.underrun_ns)
        data = self._fader.apply(outgoing.data)
        self._ears.played(Frame(data, desk.spec.leg))
        desk.do(Emit(data))
        if outgoing.mark:
            desk.do(SendMark(outgoing.mark))
        if not desk.playout.ready:
            self._watch_quiet()

    def _began(self, key: int) -> None:
        if self.sounding is not None and self.sounding != key:
            self._over(self.sounding)
        self.sounding = key
        self._desk.note("agent_began", ask=max(key, 0))

    def _watch_quiet(self) -> None:
        self._desk.timers.set("quiet", self._desk.now + self.left * 1_000_000_000 // self._desk.spec.leg.rate)

    def quiet(self) -> bool:
        """The timer "quiet": True when the caller has now heard everything there is."""
        desk = self._desk
        if self.left > 0 or desk.playout.ready:
            if not desk.playout.ready:
                self._watch_quiet()
            return False
        self.silent_since = desk.now
        if self.sounding is not None and desk.playout.finished(self.sounding):
            self._over(self.sounding)
            self.sounding = None
        return True

    def _over(self, key: int) -> None:
        self._desk.note(
            "agent_ended", ask=max(key, 0), heard_ms=self._desk.ms(self._desk.playout.heard(key, self._desk.now))
        )
        self.ended.append(key)

    def marked(self, name: str) -> None:
        late = self._desk.playout.marked(name, self._desk.now)
        if late:
            self._desk.note("noticed", what=f"playback mark {late // MS} ms late")
            self._watch_quiet()

    # ------------------------------------------------------------------------------------------------------ stopping

    def duck(self) -> None:
        self._fader.duck()

    def restore(self) -> None:
        self._fader.restore()

    def cut(self) -> None:
        """Stop at once: the carrier forgets what it holds, unsent audio is dropped."""
        desk = self._desk
        desk.playout.clear(desk.now)
        desk.do(ClearLeg())
        self._fader.restore()
        desk.timers.clear("quiet")
        self.silent_since = desk.now
        if self.sounding is not None:
            self._over(self.sounding)
            self.sounding = None

    def keep_to_pause(self, ask: int, outline: Envelope, back_ms: int = 600) -> bytes:
        """The reply `ask` will get no more audio: end what is held at the last pause, so that no word is cut. Returns
        what was cut off."""
        desk = self._desk
        held = desk.playout.pushed(ask)
        pause = outline.pause_before(held, back_ms)
        sent = held - len(desk.playout.rest(ask)) // desk.spec.leg.width
        keep = held if pause is None or pause < sent else min(held, pause + desk.samples(20))
        tail = desk.playout.keep(ask, keep)
        desk.playout.taper(ask, desk.spec.leg.bytes_for(JOIN_MS), Fader(desk.spec.leg).fade_out)
        self._watch_quiet()
        return tail
