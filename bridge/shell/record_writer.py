"""The threads behind call records: one appends to disk for all calls, one finishes calls that are over."""

from __future__ import annotations

import dataclasses
import os
import re
import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol
from urllib.parse import quote, urlsplit, urlunsplit

import orjson
import structlog

from bridge.core.plan import CallSpec
from bridge.shell.record_codec import to_json
from bridge.shell.record_finish import finish, hold
from bridge.shell.record_format import EVENTS, HEADER, MEDIA, PHRASE, VERSION
from providers.codec import Target

_SAFE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")
_SHORTEST_SECRET = 8  # anything shorter would be found by chance in sound and text

_log = structlog.get_logger("segue.record")


class Snapshot:
    """What a record begins with: all that is needed to build the call's Engine again, without credentials.

    Raises ValueError when the call's id is no safe file name.
    """

    def __init__(self, spec: CallSpec, targets: Mapping[str, Target], mode: str, wall: float) -> None:
        if not _SAFE.fullmatch(spec.call_id):
            raise ValueError(f"call id {spec.call_id!r} is no safe file name")
        self._spec = spec
        self._targets = [targets[item.name] for item in spec.plan.candidates if item.name in targets]
        self._mode = mode
        self._wall = wall
        self.start = 0

    @property
    def name(self) -> str:
        return self._spec.call_id

    @property
    def full(self) -> bool:
        return self._mode == "full"

    def line(self) -> bytes:
        """The first line of `events.jsonl`."""
        head = {
            "segue": VERSION,
            "call": self.name,
            "mode": self._mode,
            "wall": self._wall,
            "t": self.start,
            "spec": to_json(dataclasses.replace(self._spec, phrases={})),
            "targets": [_without_secrets(target) for target in self._targets],
        }
        return orjson.dumps(head, default=str) + b"\n"

    def phrases(self) -> bytes:
        """The blocks at the beginning of `media.bin`."""
        out = bytearray()
        for name, audio in self._spec.phrases.items():
            body = name.encode() + b"\0" + audio
            out += HEADER.pack(self.start, 0, 0, len(body), PHRASE, 0) + body
        return bytes(out)

    def secrets(self) -> list[bytes]:
        """What must not reach the disk, longest first, also as JSON and URLs write it."""
        found = {secret for target in self._targets for secret in _secrets(target)}
        forms = {form for secret in found if len(secret) >= _SHORTEST_SECRET for form in _forms(secret)}
        return sorted(forms, key=len, reverse=True)


def _secrets(target: Target) -> list[str]:
    """The key, and every header: nobody can tell by its name whether it is a credential."""
    return [target.api_key, *target.headers.values(), *(value.split(" ")[-1] for value in target.headers.values())]


def _forms(secret: str) -> set[bytes]:
    return {secret.encode(), orjson.dumps(secret)[1:-1], quote(secret, safe="").encode()}


def _without_secrets(target: Target) -> dict[str, object]:
    parts = urlsplit(target.url)
    url = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    stored = to_json(dataclasses.replace(target, url=url, api_key="", headers={}))
    del stored["api_key"], stored["headers"]
    return {**stored, "hidden": [len(target.api_key), *map(len, target.headers.values())]}


class Source(Protocol):
    """A running call's record, as the writer sees it."""

    finished: Future[Path]

    @property
    def snapshot(self) -> Snapshot: ...

    @property
    def closing(self) -> bool: ...

    def take(self) -> tuple[bytes, bytes]: ...

    def written(self, size: int) -> None: ...


class Writer:
    """Appends the records of all calls to disk, every `every` seconds, and has calls finished that are over.

    `add` and `wake` are for the loop's thread and never wait. The threads start with the first call and sleep without
    waking while no call runs.
    """

    def __init__(self, folder: Path, every: float) -> None:
        self._folder = folder
        self._every = every
        self._fresh: deque[Source] = deque()
        self._wake = threading.Event()
        self._stopping = False
        self._over: SimpleQueue[tuple[Source, _Files] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def add(self, source: Source) -> None:
        if self._stopping:
            source.finished.cancel()
            return
        self._fresh.append(source)
        if not self._threads:
            for name, work in (("records", self._write), ("records-finish", self._finish)):
                thread = threading.Thread(target=work, name=name, daemon=True)
                self._threads.append(thread)
                thread.start()
        self._wake.set()

    def wake(self) -> None:
        self._wake.set()

    def close(self, timeout: float) -> bool:
        """Write everything, finish what is over, end the threads; True when that took less than `timeout` seconds."""
        self._stopping = True
        self._wake.set()
        for thread in self._threads:
            thread.join(timeout / len(self._threads))
        return not any(thread.is_alive() for thread in self._threads)

    # ------------------------------------------------------------------------------------------------------- threads

    def _write(self) -> None:
        open_files: dict[Source, _Files] = {}
        while True:
            self._wake.wait(self._every if open_files else None)
            self._wake.clear()  # before anything is read, so that no wish is lost
            stopping = self._stopping
            while self._fresh:
                source = self._fresh.popleft()
                open_files[source] = _Files(self._folder, source.snapshot)
            for source, files in list(open_files.items()):
                over = source.closing
                media, text = source.take()
                files.append(media, text)
                source.written(len(media) + len(text))
                if over:
                    del open_files[source]
                    self._over.put((source, files))
            if stopping:
                for source, files in open_files.items():
                    files.close()
                    source.finished.cancel()
                self._over.put(None)
                return

    def _finish(self) -> None:
        while (job := self._over.get()) is not None:
            source, files = job
            try:
                if files.failure is not None:
                    raise files.failure
                finish(files.path, unwritten=files.unwritten)
            except Exception as error:  # a record that cannot be finished must not end the thread for all others
                _log.error("call record not finished", call=source.snapshot.name, error=str(error))
                source.finished.set_exception(error)
            else:
                source.finished.set_result(files.path)
            finally:
                files.close()


class _Files:
    """The files of one record. `failure`: why there is none at all; `unwritten`: bytes the disk refused."""

    def __init__(self, folder: Path, snapshot: Snapshot) -> None:
        self.path = folder / snapshot.name
        self.failure: OSError | None = None
        self.unwritten = 0
        self._secrets = snapshot.secrets()
        self._events: _File | None = None
        self._media: _File | None = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.mkdir(mode=0o700)
            self._events = _File(self.path / EVENTS)
            hold(self._events.number)
            if snapshot.full:
                self._media = _File(self.path / MEDIA)
        except OSError as error:
            self.failure = error
            _log.error("no record of this call", call=snapshot.name, error=str(error))
            return
        self.append(snapshot.phrases() if snapshot.full else b"", snapshot.line())

    def append(self, media: bytes, text: bytes) -> None:
        for file, data in ((self._media, media), (self._events, text)):
            if file is None or not data:
                continue
            for secret in self._secrets:
                if secret in data:
                    data = data.replace(secret, b"*" * len(secret))  # same length: blocks stay whole
            self.unwritten += file.append(data)

    def close(self) -> None:
        """Also lets go of the lock that says the record is being written."""
        for file in (self._media, self._events):
            if file is not None:
                os.close(file.number)
        self._media = self._events = None


class _File:
    """A new file that only grows. Raises OSError when it cannot be created."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._size = 0

    def append(self, data: bytes) -> int:
        """Write all of `data` or nothing; the bytes the disk refused."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self.number, view) :]
        except OSError as error:
            _log.warning("record: the disk refuses", error=str(error), bytes=len(data))
            os.ftruncate(self.number, self._size)
            return len(data)
        self._size += len(data)
        return 0
