"""Gemini Live: how a reply is spoken, interrupted and ended. There are no ids: order is everything."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import orjson

from audio.frame import PCM16_24K
from bridge.fakes.answers import Said, answer, open_question, tool_wanted
from bridge.fakes.gemini_setup import Refused, Rules, rules_for
from bridge.fakes.replying import Reply, Step
from bridge.fakes.script import Do, ToolRule
from bridge.fakes.session import MS, Session, Shared
from bridge.fakes.speech import Spoken
from bridge.fakes.wire import Close, Request

INTERNAL = "Internal error encountered."
TOKENS_PER_S = 25
HEARD_MS = 150  # a reply interrupted sooner than this after its first audio has told the caller nothing


class GeminiReplies(Session):
    """The half of a session that answers."""

    vertex: bool

    def __init__(self, shared: Shared, connection: int, request: Request, now: int) -> None:
        super().__init__(shared, connection, request, now)
        self.setup: dict[str, Any] | None = None
        self.rules: Rules = rules_for("")
        self.instructions = ""
        self.functions: dict[str, str | None] = {}
        self.manual = False
        self.interrupts = True
        self.resumable = False
        self.silence_ms = 500
        self.log: list[Said] = []
        self.seeded = False  # history was added and nothing asked since
        self.fresh_from = 0  # where the latest caller audio stands in the log
        self.calls: dict[Any, str] = {}  # tool calls not answered
        self.reply: Reply | None = None
        self.refused: Refused | None = None
        self.duplicate_text = False
        self.late_audio_ms = 0
        self.bad_base64 = False
        self.next_fail: Any = None
        self.next_empty = False
        self.poison: Any = None
        self._ids = 0

    # ------------------------------------------------------------------------------------------------ sending

    def send(self, message: dict[str, Any]) -> None:
        """Server messages are binary frames."""
        self.put(orjson.dumps(message))

    def after(self, now: int, ms: float, act: Callable[[int], None]) -> None:
        """At once, or `ms` later."""
        if ms <= 0:
            act(now)
        else:
            self.later(now + int(ms * MS), act)

    def oversized(self, size: int) -> bytes:
        return orjson.dumps({"serverContent": {"padding": "x" * size}})

    def fresh(self, kind: str) -> str:
        self._ids += 1
        return f"{kind}-{self.shared.seed}-{self.connection}-{self._ids}"

    def give_handle(self) -> None:
        """A resumption handle for the conversation as it stands; none while something runs."""
        if not self.resumable:
            return
        if self.reply is not None or self.calls:
            self.send({"sessionResumptionUpdate": {"resumable": False}})
            return
        handle = self.fresh("handle")
        self.shared.handles[handle] = (self, tuple(self.log))
        self.send({"sessionResumptionUpdate": {"newHandle": handle, "resumable": True}})

    # ------------------------------------------------------------------------------------------------ asking

    def start_reply(self, now: int, after_tool: bool = False, forgetful: bool = False) -> None:
        """Generate a reply to the conversation as it stands. `forgetful`: without what was added as history."""
        if self.reply is not None:
            if after_tool and self.reply.running:
                self.reply.wire["again"] = True  # the result is taken up when this reply is over
                return
            self._drop_reply(now)
        self.replies += 1
        log = self.log[self.fresh_from :] if forgetful else list(self.log)
        self.numbers = open_question(log).numbers
        style = self.script.style(self.turn, self.numbers, self.replies)
        reply = self.reply = Reply(self.replies, Spoken(), PCM16_24K, style, style.pace or self.shared.pace)
        self.phase("asked", now)
        if self.stopped(reply):
            return
        fail = self.next_fail if self.next_fail is not None else self.poison
        empty, self.next_fail, self.next_empty = self.next_empty, None, False
        tool = tool_wanted(self.script.tools, log, self.turn, self.functions)
        over = False
        if tool is None and not empty:
            said = answer(log, "", self.instructions, style.seconds, style.say)
            reply.spoken, over = said.spoken, said.continued and not said.spoken.words
        reply.wire = {"log": log, "begun": True, "over": over}
        reply.plan(self.random, True)
        self.phase("reply", now)
        if self.stopped(reply):
            return
        when = now + style.first_audio_ms * MS
        if fail is not None:
            self.later(when, lambda at: self.fail(reply, fail, at))
        elif tool is not None and not empty:
            self.later(when, lambda at: self._call(reply, tool, at))
        elif not reply.steps:
            self.later(when, lambda at: self._complete(reply, at))
        else:
            self.later(when, lambda at: self._step(reply, at))

    def _call(self, reply: Reply, tool: ToolRule, now: int) -> None:
        """A tool call; the reply waits for its result, or ends when the call does not block."""
        if not reply.running:
            return
        call_id = self.fresh("function-call")
        self.calls[call_id] = tool.name
        self.log.append(Said("assistant", "call", orjson.dumps(dict(tool.arguments)).decode(), name=tool.name))
        call = {"name": tool.name, "args": dict(tool.arguments), "id": call_id}
        self.send({"toolCall": {"functionCalls": [call]}})
        behavior = self.functions.get(tool.name) or ("BLOCKING" if self.rules.blocking else "NON_BLOCKING")
        reply.state = "called"
        self.reply = None
        if behavior != "BLOCKING":
            self._turn_complete(reply, status="IN_PROGRESS")
        self.phase("tool", now)

    def cancel_calls(self) -> None:
        """The caller spoke while tools ran: their calls are off."""
        self.send({"toolCallCancellation": {"ids": list(self.calls)}})
        self.calls.clear()

    # ------------------------------------------------------------------------------------------------ speaking

    def _step(self, reply: Reply, now: int) -> None:
        if not reply.running:
            return
        if not reply.opened:
            reply.opened = True
            reply.wire["first_ns"] = now
            told = any(said.kind == "output" for said in reply.wire["log"][-1:])
            if self.rules.generation == "2.5" and not told:
                part = {"text": "**Answering**\n\nThe question is clear.", "thought": True}
                self.send({"serverContent": {"modelTurn": {"parts": [part]}}})
                reply.wire["thoughts"] = 24
        step = reply.steps.popleft()
        self._send_step(reply, step)
        reply.at_ms = step.at_ms
        if step.kind == "audio":
            reply.deltas += 1
            self.phase("reply", now, reply.deltas)
            if not self.stopped(reply) and not reply.audio_left:
                self.phase("done", now)
            if self.stopped(reply):
                return
        if not reply.steps:
            self._complete(reply, now)
            return
        gap = (reply.steps[0].at_ms - reply.at_ms) / reply.pace
        if gap > 0 and reply.style.jitter_ms:
            gap += self.random.random() * reply.style.jitter_ms
        self.later(now + int(max(0.0, gap) * MS), lambda at: self._step(reply, at))

    def _send_step(self, reply: Reply, step: Step) -> None:
        if step.kind == "text":
            reply.sent_text += step.data
            if self.setup is not None and "outputAudioTranscription" in self.setup:
                self.send({"serverContent": {"outputTranscription": {"text": step.data}}})
            return
        data = base64.b64encode(step.data).decode()
        if self.bad_base64:
            self.bad_base64 = False
            data = "!" + data[:-3] + "*"
        reply.sent_bytes += len(step.data)
        reply.audio_left -= 1
        inline = {"mimeType": "audio/pcm;rate=24000", "data": data}
        self.send({"serverContent": {"modelTurn": {"parts": [{"inlineData": inline}]}}})

    # ------------------------------------------------------------------------------------------------ ending

    def _complete(self, reply: Reply, now: int) -> None:
        """All of it is generated: the end of the turn follows when it would have been heard."""
        if not reply.running:
            return
        reply.state = "complete"
        self._remember(reply)
        if reply.deltas:
            self.send({"serverContent": {"generationComplete": True}})
        wait = self.script.turn_complete_ms
        if wait is None:
            began = reply.wire.get("first_ns", now)
            wait = max(0.0, reply.sent_ms - (now - began) / MS)
        self.after(now, wait, lambda at: self._end_turn(reply, at))

    def _end_turn(self, reply: Reply, now: int, reason: str = "") -> None:
        if self.reply is not reply:
            return
        self.reply = None
        self._turn_complete(reply, reason)
        self.give_handle()
        self.phase("idle", now)
        if reply.wire.get("again") and not self.gone:
            self.start_reply(now)

    def _turn_complete(self, reply: Reply, reason: str = "", status: str = "IDLE") -> None:
        content: dict[str, Any] = {"turnComplete": True}
        if reason:
            content["turnCompleteReason"] = reason
        if self.rules.status:
            content["interactionStatus"] = status
        self.send({"serverContent": content, "usageMetadata": self._usage(reply)})

    def interrupt(self, now: int) -> None:
        """The caller (or a message that counts as one) stops what is being said."""
        reply = self.reply
        if reply is None or not reply.wire.get("begun"):
            return
        if reply.running:
            reply.state = "cut"
            if now - reply.wire.get("first_ns", now) >= HEARD_MS * MS:
                self._remember(reply)
        self.over("asked", "reply", "done")
        self.send({"serverContent": {"interrupted": True}})
        late, self.late_audio_ms = self.late_audio_ms, 0
        while late > 0 and reply.steps:
            step = reply.steps.popleft()
            if step.kind == "audio":
                late -= round(reply.format.ms(len(step.data)))
                self._send_step(reply, step)
        self.reply = None
        self._turn_complete(reply)
        self.give_handle()

    def _drop_reply(self, now: int) -> None:
        if self.reply is not None and self.reply.running:
            self.interrupt(now)
        self.reply = None

    def _remember(self, reply: Reply) -> None:
        """What was sent counts as said, heard or not; a continuation with nothing left to say has answered."""
        if reply.wire["over"]:
            self.log.append(Said("assistant", "text", "(that was all)"))
        sent = " ".join(word.text for word in reply.spoken.words if word.end / 24 <= reply.sent_ms + 1)
        if sent:
            self.log.append(Said("assistant", "text", sent))

    def fail(self, reply: Reply, arg: Any, now: int) -> None:
        """Failures are closes; only refusals and empty turns are told in messages."""
        if not reply.running:
            return
        short: dict[str, dict[str, Any]] = {
            "rate_limit": {"close": {"code": 1011, "reason": "RESOURCE_EXHAUSTED: quota exceeded for this minute."}},
            "content_filter": {"reason": "PROHIBITED_INPUT_CONTENT"},
            "max_tokens": {"reason": "MAX_REGENERATION_REACHED"},
        }
        given: dict[str, Any] = arg if isinstance(arg, dict) else short.get(str(arg), {})
        if "close" in given:
            self.end(Close(given["close"].get("code", 1011), given["close"].get("reason", INTERNAL)))
        elif given.get("reason") or given.get("status") == "incomplete":
            reply.state = "failed"
            self._end_turn(reply, now, given.get("reason", "PROHIBITED_INPUT_CONTENT"))
        elif self.poison is not None:
            reply.state = "failed"
            self._end_turn(reply, now)
        else:
            self.end(Close(1011, given.get("message", INTERNAL)))

    def _usage(self, reply: Reply) -> dict[str, Any]:
        """About what the service counts: the whole context every turn, 25 audio tokens a second."""
        log = reply.wire.get("log", self.log)
        text = sum(len(said.text) for said in log) // 4 + len(self.instructions) // 4 + 8
        audio = round(TOKENS_PER_S * sum(said.seconds for said in log))
        said = round(TOKENS_PER_S * reply.sent_ms / 1000)
        name = "candidates" if self.vertex else "response"
        prompt = [{"modality": "TEXT", "tokenCount": text}]
        if audio:
            prompt.append({"modality": "AUDIO", "tokenCount": audio})
        usage: dict[str, Any] = {"promptTokenCount": text + audio, f"{name}TokenCount": said}
        usage |= {"totalTokenCount": text + audio + said, "promptTokensDetails": prompt}
        usage[f"{name}TokensDetails"] = [{"modality": "AUDIO", "tokenCount": said}]
        if "thoughts" in reply.wire:
            usage["thoughtsTokenCount"] = reply.wire["thoughts"]
        return usage

    # ------------------------------------------------------------------------------------------------ script

    def act_on_reply(self, do: Do, now: int) -> None:
        """Actions of the script about replies."""
        reply = self.reply
        if do.kind == "slow" and reply is not None:
            reply.pace = do.arg
        elif do.kind == "malformed":
            self.bad_base64 = True
        elif do.kind == "late_audio":
            self.late_audio_ms = do.arg
        elif do.kind == "empty":
            self.next_empty = True
        elif do.kind == "cut_short" and reply is not None:
            reply.state = "cut"
            self._remember(reply)
            self._end_turn(reply, now)
        elif do.kind in ("fail", "poison"):
            if do.kind == "poison":
                self.poison = do.arg
            if reply is not None and reply.wire.get("begun"):
                self.fail(reply, do.arg, now)
            else:
                self.next_fail = do.arg
