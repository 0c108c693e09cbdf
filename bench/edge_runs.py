"""One run of the edge bench: starts provider, bridge and carriers as processes of their own and measures the bridge."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from bench.edge_stats import delays, percentile

SUBJECTS = ("pass-through", "segue", "segue PCM", "segue recording", "direct")
"""What can be measured: the yardstick, Segue before a provider that speaks G.711 and one that speaks linear PCM only,
Segue writing whole call records, and the bench's own processes with no bridge between them."""

_CONFIG = """
providers:
  bench: {{kind: {kind}, model: {model}, api_key: bench-api-key, url: "ws://127.0.0.1:{port}{path}"}}
routes:
  default: {{providers: [bench], standby: cold}}
agents:
  bench:
    instructions: "You answer {{{{call}}}}."
    variables: {{call: {{default: nobody, max: 40}}}}
    route: default
edges:
  media_ws: {{listen: "127.0.0.1:0", agent: bench}}
record: {{mode: {record}, folder: "{folder}"}}
limits: {{max_calls: 1000}}
"""


@dataclass
class Result:
    """CPU and memory are the bridge's (None without one); delays in ms of all marks of the run, in no order."""

    subject: str
    calls: int
    seconds: float
    cpu_ms: float | None = None  # per call-second
    rest_mib: float | None = None
    peak_mib: float | None = None
    inward: list[float] = field(default_factory=list)
    outward: list[float] = field(default_factory=list)
    replies: int = 0
    slots: int = 0
    silent: int = 0  # 20 ms the caller was to hear and did not
    late: int = 0  # ... by more than 60 ms
    worst_gap_ms: float = 0.0
    strange: int = 0  # times something was said that was no reply: an apology
    gaps: list[tuple[float, float]] = field(default_factory=list)  # seconds since the run began, ms; first calls only
    clears: int = 0
    behind_ms: float = 0.0  # by which a carrier sent a frame late at worst: how long the carriers stood still
    waited_ms: float = 0.0  # the bridge was ready to run and had no core, in the worst quarter of a second
    stolen_ms: float = 0.0  # for so long in all the host ran something else on this machine's cores
    load: float = 0.0  # of the machine, processes that wanted to run when the run began
    problems: list[str] = field(default_factory=list)


def measure(
    subject: str, calls: int, seconds: float, folder: Path, burst: int = 0, burst_at: float = 0.0, uvloop: bool = False
) -> Result:
    """Raises RuntimeError when a process does not start."""
    result = Result(subject, calls, seconds, load=os.getloadavg()[0])
    stamps, carriers = folder / "provider.json", folder / "carriers.json"
    pcm = subject == "segue PCM"
    with contextlib.ExitStack() as stack:
        kind = "gemini" if pcm else "openai"
        provider, port = stack.enter_context(started("provider", "--out", stamps, "--kind", kind))
        bridge, target = None, port
        if subject == "pass-through":
            address = f"ws://127.0.0.1:{port}/v1/realtime"
            loop = ["--uvloop"] if uvloop else []
            bridge, target = stack.enter_context(started("bench.passthrough", "--provider", address, *loop))
        elif subject != "direct":
            bridge, target = stack.enter_context(_segue(port, pcm, "full" if "recording" in subject else "off", folder))
        to = {"pass-through": "passthrough", "direct": "direct"}.get(subject, "segue")
        arguments = ("--to", to, "--port", target, "--calls", calls, "--seconds", seconds, "--out", carriers)
        more = ("--burst", burst, "--burst-at", burst_at, *(["--pcm"] if pcm else []))
        load, _ = stack.enter_context(started("bench.edge_load", *arguments, *more))
        if bridge is not None:
            time.sleep(1.0)
            result.rest_mib = memory_mib(bridge.pid)
        _drive(load, bridge, result)
        provider.send_signal(signal.SIGTERM)
        provider.wait(20)
    _evaluate(result, orjson.loads(stamps.read_bytes()), orjson.loads(carriers.read_bytes()))
    if result.cpu_ms is not None:
        burst_seconds = burst * max(1.0, seconds - burst_at)
        result.cpu_ms /= calls * seconds + burst_seconds
    return result


def _drive(load: subprocess.Popen[str], bridge: subprocess.Popen[str] | None, result: Result) -> None:
    """Let the calls run; CPU as ms in all."""
    before = cpu_ms(bridge.pid) if bridge is not None else 0.0
    stolen = stolen_ms()
    assert load.stdin is not None
    load.stdin.write("go\n")
    load.stdin.flush()
    peak, waited = 0.0, waited_ms(bridge.pid) if bridge is not None else 0.0
    while load.poll() is None:
        time.sleep(0.25)
        if bridge is not None and bridge.poll() is None:
            peak = max(peak, memory_mib(bridge.pid))
            before_that, waited = waited, waited_ms(bridge.pid)
            result.waited_ms = max(result.waited_ms, waited - before_that)
    result.stolen_ms = stolen_ms() - stolen
    if load.returncode:
        raise RuntimeError("the carriers failed")
    if bridge is not None:
        result.cpu_ms, result.peak_mib = cpu_ms(bridge.pid) - before, peak


def _evaluate(result: Result, provider: dict[str, Any], carriers: dict[str, Any]) -> None:
    heard: dict[int, list[tuple[int, int]]] = {}
    for call, number, when in provider["heard"]:
        heard.setdefault(call, []).append((number, when))
    spoken: dict[int, dict[int, int]] = {}
    for call, number, when in provider["spoken"]:
        spoken.setdefault(call, {})[number] = when
    result.problems += carriers["failed"]
    for call in carriers["calls"]:
        if not call["whole"]:
            result.problems.append(f"call {call['call']} did not last")
        result.inward += delays(dict(call["sent"]), heard.get(call["call"], ()))
        outward = delays(spoken.get(call["call"], {}), call["heard"])
        result.outward += outward
        result.replies += len(outward)
        result.clears += call["clears"]
        result.behind_ms = max(result.behind_ms, call["behind"] * 1000)
        if call["call"] < result.calls:
            result.slots += call["slots"]
            result.silent += call["silent"]
            result.late += call["late"]
            result.strange += call["strange"]
            result.worst_gap_ms = max(result.worst_gap_ms, call["worst"] / 1e6)
            result.gaps += [((when - carriers["began"]) / 1e9, gap / 1e6) for when, gap in call["gaps"]]
    if result.strange:
        result.problems.append(f"{result.strange} times something was said that was no reply")
    if not result.outward or not result.inward:
        result.problems.append("no reply, or no caller, was heard")


def summary(result: Result) -> dict[str, float | None]:
    """Percentiles of both ways in ms."""
    return {
        f"{way}_p{round(share * 100)}": percentile(values, share)
        for way, values in (("in", result.inward), ("out", result.outward))
        for share in (0.5, 0.99)
    }


@contextlib.contextmanager
def started(module: str, *arguments: object) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A module of ours as a process, and the port (or nothing, 0) it says first."""
    module = "bench.edge_provider" if module == "provider" else module
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with running(command) as process:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"{module} did not start")
        yield process, int(line) if line.isdecimal() else 0


def _segue(
    port: int, pcm: bool, record: str, folder: Path
) -> contextlib.AbstractContextManager[tuple[subprocess.Popen[str], int]]:
    kind, model, path = ("gemini", "gemini-3.8-live", "/") if pcm else ("openai", "gpt-realtime-2.1", "/v1/realtime")
    return serving(
        _CONFIG.format(kind=kind, model=model, port=port, path=path, record=record, folder=folder / "calls"), folder
    )


@contextlib.contextmanager
def serving(config: str, folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`segue serve` with this configuration, and its port. Raises RuntimeError when it does not start."""
    file = folder / "segue.yaml"
    file.write_text(config)
    command = [sys.executable, "-m", "bridge", "serve", "--config", str(file), "--json", "--log-level", "error"]
    with running(command) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("segue serve did not start")
        yield process, int(orjson.loads(line)["address"].rpartition(":")[2])


@contextlib.contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cpu_ms(pid: int) -> float:
    """CPU time of a process so far, threads that ended included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return ticks * 1000 / os.sysconf("SC_CLK_TCK")


def stolen_ms() -> float:
    """CPU time all cores of a virtual machine have lost to its host so far (proc(5)); 0 where nobody counts."""
    try:
        steal = Path("/proc/stat").read_text().partition("\n")[0].split()[8]
    except (OSError, IndexError):
        return 0.0
    return int(steal) * 1000 / os.sysconf("SC_CLK_TCK")


def waited_ms(pid: int) -> float:
    """How long the process has been ready to run without a core to run on (schedstat(5)); 0 where nobody counts."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e6
    except (OSError, IndexError):
        return 0.0


def memory_mib(pid: int) -> float:
    """Resident memory of a process, pages of shared libraries included."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0
