"""What the turn detector is measured against: voice activity detectors with plain hysteresis, as most stacks do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from audio.frame import PCM16_8K, Frame
from audio.turns import TurnDetector, TurnSettings
from audio.vad import SileroVad, Vad, WebrtcVad
from bench.ears_corpus import Call
from bench.ears_score import Decision
from bridge.listen_decisions import decisions

BLOCK = 160
BLOCK_S = 0.02
WINDOW, OPEN = 0xFF, 5  # opens on 5 of 8 blocks

Listener = Callable[[Call], list[Decision]]


def segue(settings: TurnSettings) -> Listener:
    def hear(call: Call) -> list[Decision]:
        detector = TurnDetector(settings, call.rate)
        return [(event.decided / call.rate, event.kind) for event in decisions(call.near, call.far, detector)]

    return hear


class Plain:
    """Opens on 5 of 8 blocks of speech, closes after a hangover without any; knows nothing of the agent.

    A call's blocks are judged once, however many hangovers are tried.
    """

    def __init__(self, make: Callable[[], Vad]) -> None:
        self._make = make
        self._judged: dict[int, list[bool]] = {}

    def with_hangover(self, ms: int) -> Listener:
        return lambda call: self._turns(self._speech(call), ms)

    def _speech(self, call: Call) -> list[bool]:
        if id(call) not in self._judged:
            vad = self._make()
            blocks = range(len(call.near) // BLOCK)
            self._judged[id(call)] = [vad.speech(call.near[n * BLOCK : (n + 1) * BLOCK].tobytes()) for n in blocks]
        return self._judged[id(call)]

    def _turns(self, blocks: Sequence[bool], hangover_ms: int) -> list[Decision]:
        out: list[Decision] = []
        recent, open_, silent = 0, False, 0
        for n, speech in enumerate(blocks):
            recent = (recent << 1 | speech) & WINDOW
            silent = 0 if speech else silent + 1
            if not open_ and recent.bit_count() >= OPEN:
                open_ = True
                out.append(((n + 1) * BLOCK_S, "speech_start"))
            elif open_ and silent * 20 >= hangover_ms:
                open_, recent = False, 0
                out.append(((n + 1) * BLOCK_S, "turn_end"))
        return out


def silero_installed() -> bool:
    try:
        SileroVad()
    except ValueError:
        return False
    return True


def listeners() -> dict[str, Listener]:
    """All that is compared, by name; silero only when its extra is installed."""
    out: dict[str, Listener] = {"segue": segue(TurnSettings())}
    out["segue, fixed 500"] = segue(TurnSettings(adaptive=False))
    webrtcvad = Plain(WebrtcVad)
    out |= {f"webrtcvad {ms}": webrtcvad.with_hangover(ms) for ms in (300, 500, 700)}
    if silero_installed():
        silero = Plain(SileroVad)
        out |= {f"silero {ms}": silero.with_hangover(ms) for ms in (300, 500)}
        out["segue on silero"] = segue(TurnSettings(detector="silero"))
    return out


def frames(calls: Sequence[Call]) -> list[list[Frame]]:
    """The callers' frames, built beforehand so that only detectors are timed."""
    return [
        [Frame(call.near[at : at + BLOCK].tobytes(), PCM16_8K) for at in range(0, len(call.near) - BLOCK + 1, BLOCK)]
        for call in calls
    ]
