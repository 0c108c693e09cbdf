"""A call whose providers hum: one tone each, so that every click, step of level and bit of silence shows in what the
caller heard. Any leg format; the sound itself is made at the leg's rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio.frame import Format, Frame, decode, encode
from bridge.core import events as ev
from bridge.core.call import Call
from bridge.core.plan import Line
from providers import base as pb
from tests.core.stage import MS, WORD_MS, WORDS, Behaviour, ScriptedEars, SimLink, Stage

FULL = 9000.0
HERTZ = {"a": 310.0, "b": 270.0, "c": 350.0}


def hum(provider: str, word: int, format: Format, level: float) -> bytes:
    """The stretch of a provider's tone that stands for a word: loud from its first sample to its last."""
    samples = format.rate * WORD_MS // 1000
    at = np.arange(word * samples, (word + 1) * samples)
    sound = FULL * level * np.sin(2 * np.pi * HERTZ.get(provider, 290.0) * at / format.rate + 1.3)
    return encode(np.rint(sound).astype(np.int16), format.encoding)


class LegEars(ScriptedEars):
    """A script in ms of a leg of any rate."""

    def __init__(self, rate: int) -> None:
        super().__init__()
        self._rate = rate

    def at(self, ms: int, kind: str, about_ms: int | None = None) -> None:
        self.script.append((ms * self._rate // 1000, kind, (ms if about_ms is None else about_ms) * self._rate // 1000))
        self.script.sort()


class HumStage(Stage):
    """`levels`: how loud each provider is, times `FULL`. The phrases hum as well."""

    def __init__(
        self, format: Format, providers: dict[str, Behaviour], levels: Mapping[str, float] = {}, **more: Any
    ) -> None:
        line = more.pop("line", Line())
        bridge_ms = more.pop("bridge_phrase_after_ms", None)
        super().__init__(providers, **more)
        self.format = format
        self.levels = levels
        for act in providers.values():
            act.on_word = self._hum(act.on_word)
        agent = replace(self.spec.agent, line=line, bridge_phrase_after_ms=bridge_ms)
        names = ("sorry", "goodbye", "rephrase", "hold")
        phrases = {name: b"".join(hum(name, n, format, 1.0) for n in range(2)) for name in names}
        self.spec = replace(self.spec, leg=format, agent=agent, phrases=phrases)
        self.ears = LegEars(format.rate)
        self.call = Call(self.spec, self.ears)  # type: ignore[arg-type]
        self.voice_db: dict[str, float] = {}
        self.told: list[tuple[str, float]] = []
        self._size = format.bytes_for(20)

    def _hum(self, first: Any) -> Any:
        def say(link: SimLink, ask: int, word: int) -> bool:
            if first is not None and first(link, ask, word):
                return True
            data = hum(link.provider, word, self.format, self.levels.get(link.provider, 1.0))
            self.dispatch(ev.FromLink(link.number, pb.ReplyText(ask, f"i{ask}", f"{WORDS[word]} ")))
            self.dispatch(ev.FromLink(link.number, pb.ReplyAudio(ask, f"i{ask}", data)))
            return True

        return say

    def _frame(self) -> None:
        """As in Stage, in the leg's format."""
        played = bytes(self._buffer[: self._size])
        del self._buffer[: self._size]
        self._consumed += len(played)
        missing = (self._size - len(played)) // self.format.width
        self.heard += played + self.format.silence * missing
        while self._marks and self._marks[0][0] <= self._consumed:
            self.dispatch(ev.Mark(self._marks.pop(0)[1]))
        data = self._rng.integers(0, 256, self._size, dtype=np.uint8).tobytes()
        self.sent_frames.append(data)
        self.hears(Frame(data, self.format))
        if self.ended is None:
            self.later(20, self._frame)

    def _do_choose(self, effect: Any) -> None:
        super()._do_choose(effect)
        chosen = self._queue[-1]
        if isinstance(chosen, ev.Chosen) and chosen.provider is not None:
            self._queue[-1] = replace(chosen, voice_db=self.voice_db.get(chosen.provider))

    def _do_health(self, effect: Any) -> None:
        if effect.voice_db is not None:
            self.told.append((effect.provider, effect.voice_db))

    def pcm(self) -> NDArray[np.int64]:
        """What the caller heard, at the leg's rate."""
        return decode(bytes(self.heard), self.format.encoding).astype(np.int64)

    def steps(self, begin_ms: int = 0, end_ms: int | None = None) -> tuple[int, int]:
        """The largest step from one sample to the next, and when (ms)."""
        rate = self.format.rate
        step = np.abs(np.diff(self.pcm()))[begin_ms * rate // 1000 : None if end_ms is None else end_ms * rate // 1000]
        at = int(np.argmax(step))
        return int(step[at]), at * 1000 // rate + begin_ms

    def smooth(self) -> int:
        """The largest step a hum takes by itself, with what G.711 adds by rounding."""
        natural = FULL * 2 * np.pi * 350 / self.format.rate
        return int(natural + (700 if self.format.width == 1 else 30))


def asked(stage: HumStage, speaks_ms: int = 500, ends_ms: int = 1500) -> HumStage:
    """The caller's turn."""
    stage.ears.at(speaks_ms, "speech_start", speaks_ms - 100)
    stage.ears.at(ends_ms, "turn_end")
    return stage


__all__ = ["FULL", "MS", "HumStage", "asked", "hum"]
