"""The agent's mouth: feeds the leg from the playout, ducks, cuts, and says when the agent is heard."""

from __future__ import annotations

from audio.frame import Frame
from audio.gain import ComfortNoise, Fader
from audio.joins import fade_in, fade_out, last_ring, ring_out
from audio.playout import Outgoing
from audio.turns import TurnDetector
from bridge.core.desk import MS, Desk
from bridge.core.effects import ClearLeg, Emit, SendMark
from bridge.core.heard import Transcript
from bridge.core.loudness import Loudness

FRAME_MS = 20
DRY_NS = 10 * MS  # as late as a timer dares: what comes in time goes on as if nothing had been
BEGUN_MS = 2  # a frame of which less than this is over has not begun
NARROW_BAND = 8000  # Hz; a wide-band line has no noise of its own that would be missed
PHRASE = 0  # local phrases have keys <= 0, replies their ask's number


class Speaker:
    """Owns nothing of the conversation: keys are asks (positive) and local phrases (zero and below).

    What is played passes through `loudness`, the fader of ducking and, where it begins or ends, the joins. Where the
    agent wants comfort noise, it is sent whenever the line would fall silent before the next slot: it is no part of any
    reply, so that positions, marks and the echo gate know nothing of it.
    """

    def __init__(self, desk: Desk, ears: TurnDetector) -> None:
        self._desk = desk
        self._ears = ears
        self._leg = leg = desk.spec.leg
        self._fader = Fader(leg)
        self.loudness = Loudness(desk)
        noise = desk.spec.agent.line.comfort_noise and leg.rate == NARROW_BAND
        self._noise = ComfortNoise(leg) if noise else None
        desk.playout.filling = noise
        self._sent: list[bytes] = []  # what may not be heard yet:
        self._unheard = desk.spec.lead_ms // FRAME_MS + 2  # so many pieces
        self._silent = True  # what is sent next comes after silence
        self._phrases = PHRASE
        self.sounding: int | None = None
        self.silent_since = 0
        self.underrun: tuple[int, int] | None = None
        self._leaving: list[int] = []  # another voice was sent behind them, and they are still to be heard
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
        self.loudness.phrase(self._phrases, name, data)
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
        while self._leaving and desk.playout.heard_out(self._leaving[0], desk.now):
            self.ended.append(self._leaving.pop(0))
        outgoing = desk.playout.pull(desk.now)
        if outgoing is None:
            if self._noise is not None:
                samples = desk.playout.fill(desk.now)
                if samples:
                    desk.do(Emit(self._noise.next(samples)))
            return
        if outgoing.began or outgoing.key != self.sounding:
            self._began(outgoing.key)
        if outgoing.underrun_ns:
            self.underrun = (outgoing.key, outgoing.underrun_ns)
            self._silent = True
        data = self._fader.apply(self.loudness.apply(outgoing.data))
        if self._silent or outgoing.ended:
            data = self._joined(data, outgoing)
        self._sent.append(data)
        if len(self._sent) > self._unheard:
            del self._sent[0]
        self._ears.played(Frame(data, self._leg))
        if self._noise is not None:
            data = self._noise.fill(data, outgoing.pad)
        desk.do(Emit(data))
        if outgoing.mark:
            desk.do(SendMark(outgoing.mark))
        if not desk.playout.ready:
            self._watch_quiet()
            if not outgoing.ended:
                desk.timers.set("dry", desk.playout.until - DRY_NS)

    def dry(self) -> None:
        """The timer "dry": nothing has come to follow what the caller is about to have heard. It may come yet."""
        playout, leg = self._desk.playout, self._leg
        if self._silent or playout.ready or not 0 <= playout.until - self._desk.now <= DRY_NS:
            return
        data = last_ring(self._sent[-1], leg.rate * FRAME_MS // 1000, leg)
        if data is not None:
            self._desk.do(Emit(data))
            playout.filled(len(data) // leg.width, self._desk.now)
            self._silent = True

    def _joined(self, data: bytes, outgoing: Outgoing) -> bytes:
        """What is sent first after silence, or last before it."""
        if self._silent:
            data = fade_in(data, self._leg)
        if outgoing.ended:
            data = ring_out(data, self._sent[-1] if self._sent else b"", outgoing.pad, self._leg)
        self._silent = outgoing.ended
        return data

    def _began(self, key: int) -> None:
        if self.sounding is not None and self.sounding != key:
            self._noted(self.sounding, max(self._desk.now, self._desk.playout.until))
            self._leaving.append(self.sounding)
        self.sounding = key
        self.loudness.began(key)
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
        self.silent_since = min(desk.now, desk.playout.until)  # what had run dry before it was given up
        self._left()
        if self.sounding is not None and desk.playout.finished(self.sounding):
            self._over(self.sounding)
            self.sounding = None
        return True

    def _left(self) -> None:
        """Nothing more of those that are leaving will be heard."""
        self.ended += self._leaving
        self._leaving.clear()

    def _over(self, key: int) -> None:
        self._noted(key, self._desk.now)
        self.ended.append(key)

    def _noted(self, key: int, at: int) -> None:
        heard = self._desk.playout.heard(key, at)
        self._desk.note("agent_ended", ask=max(key, 0), heard_ms=self._desk.ms(heard))

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
        """Stop at once: the carrier forgets what it holds, unsent audio is dropped. The frame it would have played next
        is sent once more, fading; it plays in frames, so the one begun is heard out."""
        desk, leg = self._desk, self._leg
        size = leg.bytes_for(FRAME_MS)
        ahead = (desk.ms(desk.playout.ahead(desk.now)) + BEGUN_MS) // FRAME_MS * size
        data = b"".join(self._sent)[-ahead:][:size] if ahead else b""
        self.stop()
        desk.do(ClearLeg())
        if len(data) == size:
            desk.do(Emit(fade_out(data, leg)))
            desk.playout.filled(size // leg.width, desk.now)

    def stop(self) -> None:
        """Nothing more is sent, and what was sent ahead is not heard."""
        desk = self._desk
        desk.playout.clear(desk.now)
        self._fader.restore()
        self._silent = True
        desk.timers.clear("quiet")
        desk.timers.clear("dry")
        self.silent_since = desk.now
        self._left()
        if self.sounding is not None:
            self._over(self.sounding)
            self.sounding = None

    def keep_to_word(self, ask: int, transcript: Transcript, cover_ms: int) -> bytes:
        """The reply `ask` will get no more audio: end what is held after a whole word, the surest that leaves
        `cover_ms` to play where so much is held. Returns what was cut off."""
        desk = self._desk
        held = desk.playout.pushed(ask)
        sent = held - len(desk.playout.rest(ask)) // desk.spec.leg.width
        seam = transcript.seam(held, sent, cover_ms)
        keep = held if seam is None else max(seam, min(held, sent + desk.samples(FRAME_MS)))  # a frame to fade in
        if self._silent and self.sounding == ask:
            keep = sent  # what is left of a voice that ran dry is no word
        tail = desk.playout.keep(ask, keep)
        self._watch_quiet()
        return tail
