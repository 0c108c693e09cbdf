"""What the process says on stderr: one line an event, for people on a terminal, JSON for collectors. No secret of the
configuration is ever in it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

MASK = "[redacted]"


class Redactor:
    """A structlog processor that masks known secrets in whatever is about to be written."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: tuple[str, ...] = ()
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Mask these as well: running calls go on with the old ones when a configuration is replaced."""
        # The longest first, so that one secret inside another leaves nothing of either.
        self._secrets = tuple(sorted({*self._secrets, *secrets}, key=len, reverse=True))

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        for key, value in event.items():
            event[key] = self._clean(value)
        return event

    def _clean(self, value: object) -> object:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, dict):
            return {key: self._clean(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._clean(item) for item in value]
        text = value if isinstance(value, str) else str(value)
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text


def configure(secrets: Iterable[str], level: str = "info", stream: TextIO | None = None) -> Redactor:
    """Set logging up for this process. `level`: debug, info, warning or error. A terminal gets coloured lines,
    everything else JSON."""
    out = stream or sys.stderr
    redactor = Redactor(secrets)
    terminal = out.isatty()
    number = logging.getLevelNamesMapping()[level.upper()]
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if terminal else "iso", utc=not terminal),
        structlog.processors.format_exc_info,
        redactor,
        structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    # Libraries that log in the standard way (aiohttp's server above all) take the same path.
    standard = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=processors[:-1],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redactor, processors[-1]],
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(standard)
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)
    return redactor
