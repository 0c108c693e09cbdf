"""Real conversations: the client's side is played to the emulator, which must answer with the same messages.

Payloads differ, and how often a delta comes; the order of kinds and the names of fields must not. Caller audio was
shortened in the recordings, so speech of the same length stands in for it.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from audio.frame import Pcm
from audio.resample import convert
from bridge.fakes.emulator import Emulator
from tests.fakes.client import ROOT, Client, GeminiClient, Json, b64, kind_of, question

FOLDER = ROOT.parent / "shared" / "corpus" / "wire"
KINDS = {"openai": "openai", "azure": "azure-openai", "azure_voice_live": "azure", "google": "gemini"}
FILES = sorted(path for path in FOLDER.glob("*.yaml") if path.name.split("__")[0] in KINDS)
pytestmark = pytest.mark.skipif(not FILES, reason="no recorded provider sockets here")

# What the service repeats as often as it likes, and what may come at any time.
DELTAS = ("delta", "modelTurn", "outputTranscription", "inputTranscription")
FREE = ("rate_limits.updated", "conversation.item.input_audio_transcription", "inputTranscription")
# Keys some of whose values are the user's own.
OPAQUE = ("parameters", "metadata", "args", "cached_tokens_details")


def load(path: Path) -> list[Json]:
    data: Any = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return [entry for entry in data["interactions"] if entry["kind"] == "message"]


def speech(rate: int, seconds: float) -> Pcm:
    """A question between silences, as loud as a caller, `seconds` long."""
    blocks = question("order_status").reshape(-1, 80)
    loud = np.sqrt(np.mean(blocks.astype(float) ** 2, axis=1)) > 300
    pcm = convert(blocks[loud].ravel(), 8000, rate)  # without pauses, which servers take for the end of the turn
    quiet = max(0, int(seconds * rate) - len(pcm))
    silence = np.zeros(quiet // 2, np.int16)
    return np.concatenate([silence, pcm, silence])


def audio_fields(message: Any) -> list[tuple[Json, str]]:
    """Where caller audio stands in a client message."""
    if not isinstance(message, dict):
        return []
    if message.get("type") == "input_audio_buffer.append":
        return [(message, "audio")]
    live = message.get("realtime_input", {})
    return [(live["audio"], "data")] if "audio" in live else []


def fill_in(sent: list[Json], rate: int) -> None:
    places = [place for message in sent for place in audio_fields(message)]
    if not places:
        return
    data = speech(rate, 6.0).tobytes()
    step = -(-len(data) // len(places) // 2) * 2
    for i, (owner, name) in enumerate(places):
        owner[name] = b64(data[i * step : (i + 1) * step]) or b64(bytes(step))


def script_for(recording: list[Json]) -> Json:
    """What the model decided, which no emulator can guess: the tools it called and with what."""
    tools = []
    for entry in recording:
        data = entry["data"]
        if entry["direction"] != "received" or not isinstance(data, dict):
            continue
        if data.get("type") == "response.function_call_arguments.done":
            tools.append({"name": data["name"], "arguments": yaml.safe_load(data["arguments"])})
        for call in data.get("toolCall", {}).get("functionCalls", ()):
            tools.append({"name": call["name"], "arguments": call["args"]})
    return {"tools": tools, "turn_complete_ms": 0}


def shape(value: Any) -> Any:
    """Field names, however deep; of lists the first entry."""
    if isinstance(value, dict):
        return {name: None if name in OPAQUE else shape(entry) for name, entry in sorted(value.items())}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return None


def collapsed(messages: list[Json]) -> list[str]:
    """Kinds in order, runs of deltas as one, free ones left out."""
    kinds = [kind_of(message) for message in messages]
    kinds = [kind for kind in kinds if not kind.startswith(FREE)]
    order = []
    spoken = False
    for kind, _ in itertools.groupby(kinds):
        if kind.endswith(DELTAS):
            if not spoken:
                order.append("(speaking)")
            spoken = True
        else:
            spoken = False
            order.append(kind)
    return order


def play(path: Path) -> tuple[list[Json], list[Json]]:
    """Messages of the recording and of the emulator."""
    recording = load(path)
    kind = KINDS[path.name.split("__")[0]]
    sent = [entry["data"] for entry in recording if entry["direction"] == "sent"]
    fill_in(sent, 16000 if kind == "gemini" else 24000)
    emulator = Emulator(kind, script_for(recording))  # type: ignore[arg-type]
    client = (GeminiClient if kind == "gemini" else Client)(emulator)
    for at, entry in enumerate(recording):
        if entry["direction"] != "sent":
            continue
        if at and recording[at - 1]["direction"] == "received":
            _catch_up(client, [one["data"] for one in recording[:at] if one["direction"] == "received"])
        client.send(_with_our_ids(entry["data"], _call_ids(client)))
    client.run(120_000)
    received = [entry["data"] for entry in recording if entry["direction"] == "received"]
    return received, [message for _, message in client.got]


def _catch_up(client: Client, received: list[Json]) -> None:
    """Let the emulator come as far as the recording was when the client spoke again."""
    kinds = [kind_of(message) for message in received]
    wanted = kinds[-1]
    if client.types().count(wanted) < kinds.count(wanted):
        client.until(lambda message: client.types().count(wanted) >= kinds.count(wanted))


def _call_ids(client: Client) -> list[str]:
    ids = []
    for _, message in client.got:
        if message.get("type") == "response.function_call_arguments.done":
            ids.append(message["call_id"])
        for call in message.get("toolCall", {}).get("functionCalls", ()):
            ids.append(call["id"])
    return ids


def _with_our_ids(message: Json, calls: list[str]) -> Json:
    """Results name the emulator's calls instead of the recorded ones."""
    item = message.get("item", {})
    if item.get("type") == "function_call_output":
        item["call_id"] = calls[-1]
    for response in message.get("tool_response", {}).get("functionResponses", ()):
        response["id"] = calls[-1]
    return message


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_same_order(path: Path) -> None:
    real, mine = play(path)
    assert collapsed(mine) == collapsed(real)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_same_fields(path: Path) -> None:
    """Every kind of message has the fields it has in the recording, and no others."""
    real, mine = play(path)
    shapes: dict[str, list[Any]] = {}
    for message in real:
        shapes.setdefault(kind_of(message), []).append(shape(message))
    for message in mine:
        kind = kind_of(message)
        if kind in shapes:
            assert shape(message) in shapes[kind], kind
