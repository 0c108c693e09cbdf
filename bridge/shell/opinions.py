"""Asking a function of the operator's own whether the caller's turn is over (`turns.opinion`), off the loop.

    def function(pcm: NDArray[np.int16], rate: int) -> bool | float

It gets the last seconds of the caller's sound and says whether the turn is over, or how probably (0 to 1). It runs in a
thread of its own, and nothing it does, or fails to do, can hold up a call.
"""

from __future__ import annotations

import asyncio
import importlib
import re
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import cache
from threading import Thread
from typing import Any

import structlog

from audio.frame import Format, decode
from bridge.core.effects import AskOpinion
from bridge.core.events import Opinion

log = structlog.get_logger("segue.opinion")

Asked = Callable[[Any, int], Any]

PATIENCE_S = 1.0
"""An answer that takes longer comes too late: the pause is over by itself."""
MOST = 8
"""Questions of all calls under way at once, those that nobody waits for any longer among them."""
_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", re.ASCII)


@cache
def find(path: str) -> Asked:
    """The function called `path` ("package.module:function"). Raises ValueError, which says what is wrong."""
    if not _PATH.fullmatch(path):
        raise ValueError("must be written package.module:function")
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except (Exception, SystemExit) as error:  # whatever an import does
        raise ValueError(f"{module} cannot be imported ({type(error).__name__}: {error})") from error
    if not callable(found):
        raise ValueError(f"{module} has no function {name}")
    asked: Asked = found
    return asked


def verdict(answer: object) -> bool:
    """What an answer means. Raises ValueError for one that means nothing."""
    try:
        likely = float(answer)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        likely = -1.0
    if not 0.0 <= likely <= 1.0:
        raise ValueError(f"it answered {answer!r:.60}, not True, False or a probability")
    return likely > 0.5


class Opinions:
    """Asks for all calls of a process."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience = patience_s
        self._threads = _Threads()
        self._running = 0

    def ask(
        self, call_id: str, path: str, question: AskOpinion, form: Format, done: Callable[[Opinion], None]
    ) -> None:
        """`done` is called exactly once, at the latest when patience has run out. `form`: of the sound."""
        told = False

        def tell(opinion: Opinion) -> None:
            nonlocal told
            if told:
                return
            told = True
            timer.cancel()
            if opinion.problem:
                log.warning("no opinion on a turn", call=call_id, why=opinion.problem)
            done(opinion)

        def answered(answer: asyncio.Future[Opinion]) -> None:
            self._running -= 1
            tell(answer.result())

        loop = asyncio.get_running_loop()
        late = Opinion(question.request, None, f"none within {self._patience:g} s")
        timer = loop.call_later(self._patience, tell, late)
        if self._running >= MOST:
            tell(Opinion(question.request, None, f"{MOST} questions are under way already"))
            return
        try:
            answer = loop.run_in_executor(self._threads, _answer, path, question, form)
        except RuntimeError as error:  # no more threads
            tell(Opinion(question.request, None, str(error)))
            return
        self._running += 1
        answer.add_done_callback(answered)


def _answer(path: str, question: AskOpinion, form: Format) -> Opinion:
    try:
        answer = find(path)(decode(question.sound, form.encoding), form.rate)
        return Opinion(question.request, verdict(answer))
    except BaseException as error:  # somebody else's code, in a thread that is theirs alone
        what = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        return Opinion(question.request, None, what[:200])


class _Threads(Executor):
    """A thread for each job. They are daemons: one that never comes back does not keep the process from ending, as
    those of the standard pool do."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        Thread(target=lambda: future.set_result(fn(*args, **kwargs)), name="opinion", daemon=True).start()
        return future
