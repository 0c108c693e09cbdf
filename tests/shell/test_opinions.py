"""The function of `turns.opinion`: found or refused, run off the loop, and never able to hold up or end anything."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audio.frame import PCM16_16K, PCMU, decode
from bridge.core.effects import AskOpinion
from bridge.core.events import Opinion
from bridge.shell import opinions
from bridge.shell.opinions import MOST, Opinions, find, verdict

SOUND = np.random.default_rng(4).integers(0, 256, 16_000, dtype=np.uint8).tobytes()


@pytest.fixture
def functions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A module of functions, importable as `judges`."""
    (tmp_path / "judges.py").write_text(
        "import threading, time\n"
        "got = []\n"
        "gate = threading.Event()\n"
        "def yes(pcm, rate):\n    got.append((pcm, rate, threading.current_thread()))\n    return True\n"
        "def likely(pcm, rate):\n    return 0.93\n"
        "def unlikely(pcm, rate):\n    return 0.2\n"
        "def stuck(pcm, rate):\n    gate.wait(20)\n    return True\n"
        "def slow(pcm, rate):\n    time.sleep(0.15)\n    return True\n"
        "def raising(pcm, rate):\n    raise KeyError('no model')\n"
        "def leaving(pcm, rate):\n    raise SystemExit(3)\n"
        "def words(pcm, rate):\n    return 'yes'\n"
        "def nothing(pcm, rate):\n    pass\n"
        "def beyond(pcm, rate):\n    return 17\n"
        "def nan(pcm, rate):\n    return float('nan')\n"
        "def few(pcm):\n    return True\n"
        "table = 3\n"
    )
    (tmp_path / "broken.py").write_text("import there_is_no_such_thing\n")
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(1)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    find.cache_clear()
    import judges  # type: ignore[import-not-found]

    yield judges
    judges.gate.set()
    for name in ("judges", "broken", "leaves"):
        sys.modules.pop(name, None)
    find.cache_clear()


def asked(path: str, patience_s: float = 5.0, wait_s: float = 0.0, form: Any = PCMU) -> tuple[list[Opinion], float]:
    """The answers to one question, and the longest the loop was held up (s)."""

    async def run() -> tuple[list[Opinion], float]:
        told: list[Opinion] = []
        come = asyncio.Event()
        worst = 0.0

        def done(opinion: Opinion) -> None:
            told.append(opinion)
            come.set()

        async def beat() -> None:
            nonlocal worst
            while True:
                before = time.perf_counter()
                await asyncio.sleep(0.005)
                worst = max(worst, time.perf_counter() - before)

        beating = asyncio.create_task(beat())
        Opinions(patience_s).ask("call", path, AskOpinion(7, SOUND), form, done)
        await asyncio.wait_for(come.wait(), 10)
        await asyncio.sleep(wait_s)
        beating.cancel()
        return told, worst

    return asyncio.run(run())


def test_the_function_gets_the_sound_and_its_rate_in_a_thread_of_its_own(functions: Any) -> None:
    assert asked("judges:yes")[0] == [Opinion(7, True)]
    pcm, rate, thread = functions.got[0]
    assert pcm.dtype == np.int16 and (pcm == decode(SOUND, "pcmu")).all() and rate == 8000
    assert thread is not threading.main_thread() and thread.daemon
    asked("judges:yes", form=PCM16_16K)
    pcm, rate, _ = functions.got[1]
    assert (pcm == np.frombuffer(SOUND, "<i2")).all() and rate == 16_000


@pytest.mark.parametrize(("name", "complete"), [("likely", True), ("unlikely", False)])
def test_a_probability_is_an_answer(functions: Any, name: str, complete: bool) -> None:
    assert asked(f"judges:{name}")[0] == [Opinion(7, complete)]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("raising", "KeyError: 'no model'"),
        ("leaving", "SystemExit: 3"),
        ("words", "it answered 'yes', not True, False or a probability"),
        ("nothing", "it answered None, not True, False or a probability"),
        ("beyond", "it answered 17, not True, False or a probability"),
        ("nan", "it answered nan, not True, False or a probability"),
        ("gone", "judges has no function gone"),
    ],
)
def test_what_is_no_answer_says_why(functions: Any, name: str, problem: str) -> None:
    assert asked(f"judges:{name}")[0] == [Opinion(7, None, problem)]


def test_a_function_of_the_wrong_shape_says_so(functions: Any) -> None:
    (told,), _ = asked("judges:few")
    assert told.complete is None and told.problem.startswith("TypeError: few() takes 1 positional argument")


def test_nobody_waits_longer_than_patience_and_the_late_answer_is_dropped(functions: Any) -> None:
    told, worst = asked("judges:slow", patience_s=0.05, wait_s=0.3)
    assert told == [Opinion(7, None, "none within 0.05 s")]
    assert worst < 0.1


def test_functions_that_never_return_use_up_a_bounded_number_of_threads(functions: Any) -> None:
    async def run() -> list[Opinion]:
        told: list[Opinion] = []
        asking = Opinions(0.02)
        for request in range(MOST + 3):
            asking.ask("call", "judges:stuck", AskOpinion(request, SOUND), PCMU, told.append)
        assert sum(thread.name == "opinion" for thread in threading.enumerate()) == MOST
        await asyncio.sleep(0.1)
        functions.gate.set()
        while any(thread.name == "opinion" for thread in threading.enumerate()):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        asking.ask("call", "judges:likely", AskOpinion(99, SOUND), PCMU, told.append)
        await asyncio.sleep(0.5)
        return told

    told = asyncio.run(run())
    assert [opinion.problem for opinion in told[:3]] == [f"{MOST} questions are under way already"] * 3
    assert sorted(opinion.request for opinion in told) == [*range(MOST + 3), 99]
    assert told[-1] in (Opinion(99, True), Opinion(99, None, "none within 0.02 s"))


def test_a_machine_without_threads_gets_no_opinion(functions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(opinions.Thread, "start", refuse)
    assert asked("judges:yes")[0] == [Opinion(7, None, "can't start new thread")]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("judges", "must be written package.module:function"),
        ("judges.yes", "must be written package.module:function"),
        ("judges:yes:no", "must be written package.module:function"),
        (":yes", "must be written package.module:function"),
        ("judges:", "must be written package.module:function"),
        ("judges:no", "judges has no function no"),
        ("judges:table", "judges has no function table"),
        ("there_is_no_such_thing:f", "there_is_no_such_thing cannot be imported (ModuleNotFoundError: No module"),
        ("broken:f", "broken cannot be imported (ModuleNotFoundError: No module named 'there_is_no_such_thing')"),
        ("leaves:f", "leaves cannot be imported (SystemExit: 1)"),
    ],
)
def test_a_path_that_leads_nowhere_says_where_it_ends(functions: Any, path: str, why: str) -> None:
    with pytest.raises(ValueError) as caught:
        find(path)
    assert str(caught.value).startswith(why)


ANSWERS = [(True, True), (False, False), (0.51, True), (0.5, False), (np.float32(0.9), True)]


@pytest.mark.parametrize(("answer", "means"), ANSWERS)
def test_verdicts(answer: object, means: bool) -> None:
    assert verdict(answer) is means
