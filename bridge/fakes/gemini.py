"""Gemini Live: one session's client messages, caller activity, history and tools; `gemini_replies.py` answers."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

import orjson

from audio.frame import PCM16_16K, Format
from bridge.fakes.answers import Said, caller_text, quoted
from bridge.fakes.gemini_replies import GeminiReplies
from bridge.fakes.gemini_setup import (
    INVALID,
    Refused,
    camel,
    check_setup,
    check_tool,
    entries,
    functions_of,
    mapping,
    not_found,
    only,
    word,
)
from bridge.fakes.hearing import TurnFinder, speech
from bridge.fakes.script import Do
from bridge.fakes.session import MS, Shared
from bridge.fakes.wire import Close, Request

RATES = (8000, 16000, 24000, 48000)
LIFETIME_S = 3480  # a socket was seen to be closed after exactly 58 minutes
WARNING_S = 50
DEADLINE = "Deadline expired before operation could complete."
NOT_ENABLED = "Operation is not implemented, or supported, or enabled."


class GeminiSession(GeminiReplies):
    """One connection to the Developer API, or to Vertex when the path is Vertex's."""

    def __init__(self, shared: Shared, connection: int, request: Request, now: int) -> None:
        self.vertex = "LlmBidiService" in request.path
        super().__init__(shared, connection, request, now)
        self.activity: list[bytes] = []
        self.active = False  # between activityStart and activityEnd, or speech by the server's own ear
        self.finder: TurnFinder | None = None
        self.format = PCM16_16K
        self.seeding = False  # the next clientContent is the initial history

    # ------------------------------------------------------------------------------------------------ connection

    def opened(self, now: int) -> None:
        """The service says nothing before the setup."""

    @property
    def input_format(self) -> Format:
        return self.format

    def handle(self, message: str | bytes, now: int) -> None:
        try:
            value = orjson.loads(message)
        except orjson.JSONDecodeError:
            return self._refuse(Refused(1007, "Invalid JSON payload received."))
        try:
            body = only(camel(value), {"setup", "realtimeInput", "clientContent", "toolResponse", "contextUpdate"})
            if len(body) != 1 or (self.setup is None) != ("setup" in body):
                raise Refused
            if "setup" in body:
                self._setup(body["setup"], now)
            elif "realtimeInput" in body:
                self._input(mapping(body["realtimeInput"]), now)
            elif "clientContent" in body:
                self._content(mapping(body["clientContent"]), now)
            elif "toolResponse" in body:
                self._tool_response(mapping(body["toolResponse"]), now)
            else:
                self._context_update(mapping(body["contextUpdate"]))
        except Refused as refused:
            self._refuse(refused)
        return None

    def _refuse(self, refused: Refused) -> None:
        self.end(Close(refused.code, refused.reason))

    def _setup(self, setup: Any, now: int) -> None:
        if self.script.api_key is not None and self.request.key != self.script.api_key:
            raise Refused(1007, "API key not valid. Please pass a valid API key.")
        self.rules = check_setup(setup, self.vertex)
        model = setup["model"].rsplit("/", 1)[-1]
        if self.script.models and model not in self.script.models:
            raise Refused(1008, not_found(setup["model"]))
        self.refused = None
        self.phase("configuring", now)
        if self.refused is not None:
            raise self.refused
        if self.gone:
            return
        resumption = setup.get("sessionResumption")
        if resumption is not None and resumption.get("handle"):
            self._resume(resumption["handle"])
        self.setup = setup
        self.resumable = resumption is not None
        self.instructions = _text(setup.get("systemInstruction"))
        self.functions = functions_of(setup.get("tools"))
        config = mapping(setup.get("realtimeInputConfig"))
        detection = mapping(config.get("automaticActivityDetection"))
        self.manual = bool(detection.get("disabled"))
        self.silence_ms = _whole(detection.get("silenceDurationMs"), 500)
        self.interrupts = config.get("activityHandling") != "NO_INTERRUPTION"
        self.seeding = bool(mapping(setup.get("historyConfig")).get("initialHistoryInClientContent"))
        life = min(self.script.session_s, LIFETIME_S)
        self.later(now + max(0, life - WARNING_S) * 1000 * MS, lambda at: self.go_away(min(life, WARNING_S) * 1000, at))

        def acknowledge(at: int) -> None:
            self.send({"setupComplete": {}})
            self.give_handle()
            self.phase("configured", at)

        self.after(now, self.script.latency.ack_ms, acknowledge)

    def _resume(self, handle: str) -> None:
        found = self.shared.handles.get(handle)
        if found is None:
            raise Refused(1008, "BidiGenerateContent session not found")
        session, log = found
        if not session.gone:
            raise Refused(1011, "The session is still in use by another connection.")
        self.log = list(log)

    def go_away(self, left_ms: int, now: int, silent: bool = False, close: bool = True) -> None:
        """Announce the end, then end."""
        seconds = f"{left_ms / 1000:.3f}".rstrip("0").rstrip(".")
        self.send({"goAway": {"timeLeft": f"{seconds}s"}})
        if silent:
            self._stall(True, now)
        if close:
            self.later(now + left_ms * MS, lambda at: self.end(Close(1011, DEADLINE)))

    # ------------------------------------------------------------------------------------------------ caller

    def _input(self, body: dict[str, Any], now: int) -> None:
        only(body, {"audio", "video", "text", "audioStreamEnd", "activityStart", "activityEnd"})
        if len(body) != 1:
            raise Refused
        if self.calls and self.rules.deaf_with_tools:
            raise Refused(1008, NOT_ENABLED)
        if "audio" in body:
            self._audio(mapping(body["audio"]), now)
        elif "text" in body:
            self._live_text(body["text"], now)
        elif "activityStart" in body or "activityEnd" in body:
            if not self.manual:
                raise Refused(1007, "Explicit activity control is not supported when automatic detection is enabled.")
            if "activityStart" in body:
                self._begin_activity(now)
            elif self.active:
                self._end_activity(now)
        elif "audioStreamEnd" in body:
            if self.manual:
                raise Refused
            if self.active:
                self._end_activity(now)

    def _audio(self, blob: dict[str, Any], now: int) -> None:
        only(blob, {"data", "mimeType"})
        match = re.fullmatch(r"audio/pcm(?:;\s*rate=(\d+))?", str(blob.get("mimeType", "")))
        rate = int(match.group(1) or 16000) if match else 0
        if rate not in RATES:
            raise Refused
        self.format = Format("pcm16", rate)
        data = decoded(blob.get("data"))
        if self.manual:
            if self.active:  # the service throws away what lies outside an activity
                self.activity.append(data)
            return
        if self.finder is None:
            self.finder = TurnFinder(self.format, self.silence_ms)
        self.activity.append(data)
        for what, _ in self.finder.push(data):
            if what == "started":
                self.activity = self.activity[-25:]
                self._begin_activity(now)
            else:
                self._end_activity(now)

    def _begin_activity(self, now: int) -> None:
        if self.active:
            return
        self.active = True
        self.turn += 1
        if self.manual:
            self.activity = []
        if self.interrupts:
            self.interrupt(now)
        if self.calls and not self.rules.deaf_with_tools:
            self.cancel_calls()
        self.phase("speaking", now)

    def _end_activity(self, now: int) -> None:
        self.active = False
        parts, self.activity = self.activity, []
        heard = speech(parts, self.format) if parts else []
        self.fresh_from = len(self.log)
        self.log += heard
        self._transcribe(heard, now)

        def over(at: int) -> None:
            self.phase("committed", at)
            if not self.gone:
                self.start_reply(at, forgetful=self.rules.forgets_seed and self.seeded)

        self.after(now, self.script.latency.commit_ms, over)

    def _transcribe(self, heard: list[Said], now: int) -> None:
        plan = self.script.caller_text
        if plan is None or plan.fail or not heard or self.setup is None or "inputAudioTranscription" not in self.setup:
            return
        text = caller_text(heard, plan.texts.get(self.turn))
        twice, self.duplicate_text = self.duplicate_text, False

        def write(at: int) -> None:
            for piece in text.split() * (2 if twice else 1):
                self.send({"serverContent": {"inputTranscription": {"text": f" {piece}"}}})

        self.after(now, plan.delay_ms, write)

    def _live_text(self, text: Any, now: int) -> None:
        """Text as user activity: part of the open activity, or a turn of its own."""
        if not isinstance(text, str):
            raise Refused
        if text.strip():
            self.log.append(Said("user", "text", text))
        if not self.active:
            self.interrupt(now)
            self.start_reply(now)

    # ------------------------------------------------------------------------------------------------ history, tools

    def _content(self, body: dict[str, Any], now: int) -> None:
        only(body, {"turns", "turnComplete"})
        first, self.seeding = self.seeding, False
        if not first and not self.rules.content_anytime:
            raise Refused
        turns = entries(body.get("turns"))
        roles = [self._turn(turn) for turn in turns]
        complete = bool(body.get("turnComplete"))
        if roles and not complete and self.rules.seed_ends_with_user and roles[-1] == "model":
            raise Refused
        if first:
            return
        self.interrupt(now)
        if complete:
            self.seeded = False
            self.start_reply(now)
        elif turns:
            self.seeded = True

    def _turn(self, turn: Any) -> str:
        only(turn, {"role", "parts"})
        role = turn.get("role", "user" if self.rules.generation == "2.5" else None)
        if role not in ("user", "model"):
            raise Refused
        text = _text(turn)
        if role == "user" and "caller interrupted and heard" in text:
            self.log.append(Said("assistant", "text", " ".join(quoted(text)) or "(nothing)"))  # where it was cut off
        elif text:
            self.log.append(Said("assistant" if role == "model" else "user", "text", text))
        return str(role)

    def _tool_response(self, body: dict[str, Any], now: int) -> None:
        only(body, {"functionResponses"})
        answered = 0
        silent = True
        for response in entries(body.get("functionResponses")):
            only(response, {"id", "name", "response", "scheduling", "willContinue", "parts"})
            if not isinstance(response.get("response"), dict) or ("id" not in response and not self.vertex):
                raise Refused
            call = self.calls.pop(word(response.get("id")), None)
            if call is None:
                continue  # cancelled, or never made: the service says nothing
            answered += 1
            silent = silent and response.get("scheduling") == "SILENT"
            result = response["response"].get("output", response["response"])
            text = result if isinstance(result, str) else orjson.dumps(result).decode()
            self.log.append(Said("system", "output", text, name=call))
        if answered and not self.calls and not silent:
            self.start_reply(now, after_tool=True)

    def _context_update(self, body: dict[str, Any]) -> None:
        if not self.rules.context_update:
            raise Refused
        only(body, {"systemInstruction", "tools"})
        if "systemInstruction" in body:
            self.instructions = _text(body["systemInstruction"])
        if "tools" in body:
            tools = entries(mapping(body["tools"]).get("tools"))
            for tool in tools:
                check_tool(tool, self.rules)
            self.functions = functions_of(tools)

    # ------------------------------------------------------------------------------------------------ script

    def act(self, do: Do, now: int) -> None:
        arg = do.arg if isinstance(do.arg, dict) else {}
        if do.kind == "refuse_config":
            self.refused = Refused(1007, arg.get("message", INVALID))
        elif do.kind == "quota":
            self.end(Close(1011, "You exceeded your current quota, please check your plan and billing details."))
        elif do.kind == "expire":
            self.end(Close(1011, DEADLINE))
        elif do.kind == "go_away":
            self.go_away(arg.get("left_ms", 10_000), now, arg.get("silent", False), arg.get("close", True))
        elif do.kind == "error":
            status = arg.get("code") or "INTERNAL"
            self.send({"error": {"code": 500, "message": arg.get("message", "Internal error."), "status": status}})
        elif do.kind == "duplicate_caller_text":
            self.duplicate_text = True
        elif do.kind == "forget_handles":
            self.shared.handles.clear()
        else:
            self.act_on_reply(do, now)


def decoded(data: Any) -> bytes:
    """Base64 in either alphabet, padded or not. Raises Refused."""
    if not isinstance(data, str):
        raise Refused
    text = data.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise Refused from error


def _text(content: Any) -> str:
    """The text parts of a content object (or a bare text)."""
    if isinstance(content, str):
        return content
    parts = entries(mapping(content).get("parts"))
    return " ".join(part["text"] for part in parts if isinstance(part.get("text"), str))


def _whole(value: Any, default: int) -> int:
    """A whole number that is not negative. Raises Refused."""
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Refused
    return value
