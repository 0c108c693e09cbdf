"""The OpenAI family: how a reply is asked for, spoken, cancelled and closed."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import orjson

from bridge.fakes.answers import Said, answer, open_question, tool_wanted
from bridge.fakes.realtime_checks import Problem, invalid
from bridge.fakes.realtime_dialects import Dialect
from bridge.fakes.realtime_items import Item, Items
from bridge.fakes.replying import Reply, Step
from bridge.fakes.script import Do, ToolRule
from bridge.fakes.session import MS, Session, Shared
from bridge.fakes.speech import Spoken, bank
from bridge.fakes.wire import Close, Request

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class Replies(Session):
    """The half of a session that answers."""

    def __init__(self, shared: Shared, connection: int, request: Request, now: int, dialect: Dialect) -> None:
        self.dialect = dialect
        self.model = request.query.get("model") or request.query.get("deployment") or "gpt-realtime-2.1"
        self._ids = 0
        super().__init__(shared, connection, request, now)
        expires_at = shared.epoch + now // 1_000_000_000 + self.script.session_s
        self.config = dialect.new_session(self.fresh("sess"), self.model, expires_at)
        self.committed_at = now
        self.conversation = self.fresh("conv")
        self.items = Items(dialect.allowed)
        self.reply: Reply | None = None  # the one that may write to the conversation
        self.refused_config: Problem | None = None
        self.next_fail: dict[str, Any] | None = None
        self.next_empty: Any = None
        self.poison: dict[str, Any] | None = None
        self.bad_base64 = False
        self.cached_tokens = 0

    # ------------------------------------------------------------------------------------------------ sending

    def fresh(self, kind: str) -> str:
        """A new id, unique over the connections of one emulator."""
        self._ids += 1
        return f"{kind}_s{self.shared.seed}c{self.connection}n{self._ids}"

    def emit(self, kind: str, **fields: Any) -> None:
        self.put({"type": kind, "event_id": self.fresh("event"), **fields})

    def put_error(self, problem: Problem, event_id: Any) -> None:
        error = {
            "type": problem.type,
            "code": problem.code,
            "message": problem.message,
            "param": problem.param,
            "event_id": event_id,
        }
        self.emit("error", error=error)

    def after(self, now: int, ms: float, act: Callable[[int], None]) -> None:
        """At once, or `ms` later."""
        if ms <= 0:
            act(now)
        else:
            self.later(now + int(ms * MS), act)

    def padding(self) -> dict[str, str]:
        """The random string that deltas of the GA dialect carry."""
        if self.dialect.flat:
            return {}
        size = 3 + self._ids * 7 % 13
        start = self._ids * 11 % (len(_LETTERS) - 16)
        return {"obfuscation": _LETTERS[start : start + size]}

    def oversized(self, size: int) -> str:
        fields = {"type": "response.padding", "event_id": self.fresh("event"), "padding": "x" * size}
        return orjson.dumps(fields).decode()

    # ------------------------------------------------------------------------------------------------ asking

    def ask(self, event: dict[str, Any], now: int) -> None:
        """response.create"""
        if now < self.committed_at:  # the turn it asks about is still being taken in
            self.later(self.committed_at, lambda at: self.handle(orjson.dumps(event).decode(), at))
            return
        params = self.dialect.check_response(event.get("response"), self.config)
        if event.get("additional_instructions"):
            params["instructions"] = f"{params.get('instructions', '')} {event['additional_instructions']}".strip()
        aside = params.get("conversation") == "none"
        if self.reply is not None and not aside:
            if not self.dialect.flat or not params.get("cancel_previous", True):
                message = (
                    f"Conversation already has an active response in progress: {self.reply.wire['id']}. "
                    "Wait until the response is finished before creating a new one."
                )
                raise Problem("conversation_already_has_active_response", message)
            self.finish(self.reply, "cancelled", now, {"type": "cancelled", "reason": "client_cancelled"})
        self.start_reply(params, now)

    def _log(self, params: dict[str, Any]) -> list[Said]:
        """What the model sees for this reply."""
        given = params.get("input", params.get("input_items"))
        extra = [self._inline(entry, f"response.append_input_items[{i}]")
                 for i, entry in enumerate(params.get("append_input_items", ()))]  # fmt: skip
        if given is None:
            return self.items.log([*self.items.order, *extra])
        items = []
        for i, entry in enumerate(given):
            if isinstance(entry, dict) and entry.get("type") == "item_reference":
                found = self.items.find(entry.get("id"))
                if found is None:
                    raise invalid(f"response.input[{i}].id", f"no item '{entry.get('id')}' in the conversation")
                items.append(found)
            else:
                items.append(self._inline(entry, f"response.input[{i}]"))
        return self.items.log([*items, *extra])

    def _inline(self, entry: Any, param: str) -> Item:
        return self.items.made(entry, self.fresh("item"), self.dialect.input_format(self.config), param)

    def start_reply(self, params: dict[str, Any], now: int) -> None:
        """Begin a reply to the conversation as it stands."""
        log = self._log(params)
        self.replies += 1
        self.numbers = open_question(log).numbers
        style = self.script.style(self.turn, self.numbers, self.replies)
        session = self.config["instructions"]
        voiced = self.dialect.voiced(self.config, params)
        format = self.dialect.output_format(self.config, params)
        reply = Reply(self.replies, Spoken(), format, style, style.pace or self.shared.pace)
        kept = params.get("conversation") != "none" and params.get("commit", True)
        reply.wire = {
            "id": self.fresh("resp"),
            "params": params,
            "output": [],
            "conversation": self.conversation if params.get("conversation") != "none" else None,
            "kept": kept,
            "voiced": voiced,
            "log": log,
        }
        if params.get("conversation") != "none":
            self.reply = reply
        self.phase("asked", now)
        if self.stopped(reply):
            return
        tool = self._tool(log, params)
        spoken = self._pre_generated(params)
        if spoken is None and tool is None:
            spoken = answer(log, params.get("instructions", ""), session, style.seconds, style.say).spoken
        reply.spoken = spoken or Spoken()
        reply.wire["tool"] = tool
        reply.wire["fail"] = self.next_fail or self.poison
        reply.wire["empty"] = self.next_empty
        self.next_fail = self.next_empty = None
        reply.plan(self.random, voiced)
        self.after(now, self.script.latency.ack_ms, lambda at: self._created(reply, at))

    def _tool(self, log: list[Said], params: dict[str, Any]) -> ToolRule | None:
        """The tool to call instead of answering."""
        if params.get("tool_choice", self.config["tool_choice"]) == "none":
            return None
        declared = {tool.get("name") for tool in params.get("tools", self.config["tools"])}
        return tool_wanted(self.script.tools, log, self.turn, declared)

    def _pre_generated(self, params: dict[str, Any]) -> Spoken | None:
        """Voice Live: the client brings the words."""
        message = params.get("pre_generated_assistant_message")
        if message is None:
            return None
        text = " ".join(part.get("text", "") for part in message.get("content", ()) if part.get("type") == "text")
        return bank().say(text) or bank().clips["arrived"]

    # ------------------------------------------------------------------------------------------------ speaking

    def _created(self, reply: Reply, now: int) -> None:
        if not reply.running:
            return
        self.emit("response.created", response=self.dialect.response(reply, self.config, "in_progress", None, None))
        self.phase("reply", now)
        if self.stopped(reply):
            return
        wait = reply.style.first_audio_ms * MS
        if reply.wire["fail"] is not None:
            self.later(now + wait, lambda at: self.fail(reply, reply.wire["fail"], at))
        elif reply.wire["empty"] is not None or reply.wire["tool"] is not None or not reply.steps:
            self.later(now + wait, lambda at: self._without_speech(reply, at))
        else:
            self.later(now + wait, lambda at: self._step(reply, at))

    def _without_speech(self, reply: Reply, now: int) -> None:
        if not reply.running:
            return
        if reply.wire["tool"] is not None and reply.wire["empty"] is None:
            self._call(reply, reply.wire["tool"], now)
            return
        if reply.wire["empty"] == "text":
            reply.wire["voiced"] = False
            reply.spoken = bank().clips["arrived"]
            reply.plan(self.random, False)
            self._step(reply, now)
            return
        self.finish(reply, "completed", now)

    def _step(self, reply: Reply, now: int) -> None:
        if not reply.running:
            return
        if not reply.opened:
            self._open_message(reply)
        step = reply.steps.popleft()
        self._send_step(reply, step)
        reply.at_ms = step.at_ms
        if step.kind == "audio":
            reply.deltas += 1
            self.phase("reply", now, reply.deltas)
            if self.stopped(reply):
                return
        if step.kind == "audio" and not reply.audio_left:
            reply.wire["audio_done"] = True
            self.emit(f"{self.dialect.audio}.done", **reply.wire["at"])
            self.phase("done", now)
            if self.stopped(reply):
                return
        if not reply.steps:
            self.finish(reply, "completed", now)
            return
        gap = (reply.steps[0].at_ms - reply.at_ms) / reply.pace
        if gap > 0 and reply.style.jitter_ms:
            gap += self.random.random() * reply.style.jitter_ms
        self.later(now + int(max(0.0, gap) * MS), lambda at: self._step(reply, at))

    def _send_step(self, reply: Reply, step: Step) -> None:
        at = reply.wire["at"]
        if step.kind == "audio":
            data = base64.b64encode(step.data).decode()
            if self.bad_base64:
                self.bad_base64 = False
                data = "!" + data[:-3] + "*"
            reply.sent_bytes += len(step.data)
            reply.audio_left -= 1
            self.emit(f"{self.dialect.audio}.delta", **at, delta=data)
            return
        reply.sent_text += step.data
        base = self.dialect.transcript if reply.wire["voiced"] else self.dialect.text
        self.emit(f"{base}.delta", **at, delta=step.data, **self.padding())
        if self.script.word_times and reply.wire["voiced"] and self.dialect.word_times(self.config):
            place = {"audio_offset_ms": round(step.begin_ms), "audio_duration_ms": round(len(step.data) * 40)}
            self.emit("response.audio_timestamp.delta", **at, **place, text=step.data.strip(), timestamp_type="word")

    def _open_message(self, reply: Reply) -> None:
        reply.opened = True
        wire: dict[str, Any] = {"id": self.fresh("item"), "type": "message", "status": "in_progress"}
        wire["role"] = "assistant"
        wire["content"] = []
        item = Item(wire, spoken=reply.spoken, voiced=reply.wire["voiced"])
        reply.wire["item"] = item
        self._announce(reply, item)
        reply.wire["at"] = {
            "response_id": reply.wire["id"],
            "item_id": item.id,
            "output_index": 0,
            "content_index": 0,
        }
        part = {"type": "audio", "transcript": ""} if reply.wire["voiced"] else {"type": "text", "text": ""}
        self.emit("response.content_part.added", **reply.wire["at"], **self._part(part))

    def _part(self, part: dict[str, Any]) -> dict[str, Any]:
        return {"part": part, "content": part} if self.dialect.content_key else {"part": part}

    def _announce(self, reply: Reply, item: Item) -> None:
        """output_item.added and its place in the conversation."""
        wire = self.dialect.item(item.wire)
        self.emit("response.output_item.added", response_id=reply.wire["id"], output_index=0, item=wire)
        if reply.wire["kept"]:
            self.items.add(item)
            self.emit(self.dialect.added, previous_item_id=self.items.before(item), item=wire)
        reply.wire["previous"] = self.items.before(item) if reply.wire["kept"] else None

    def _close_item(self, reply: Reply, item: Item) -> None:
        wire = self.dialect.item(item.wire)
        reply.wire["output"].append(item.wire)
        if reply.wire["kept"] and not self.dialect.flat:
            self.emit(self.dialect.done, previous_item_id=reply.wire["previous"], item=wire)
        self.emit("response.output_item.done", response_id=reply.wire["id"], output_index=0, item=wire)

    def _call(self, reply: Reply, tool: ToolRule, now: int) -> None:
        """A reply that is a tool call."""
        arguments = orjson.dumps(dict(tool.arguments)).decode()
        wire = {"id": self.fresh("item"), "type": "function_call", "status": "in_progress", "name": tool.name}
        wire |= {"call_id": self.fresh("call"), "arguments": ""}
        item = Item(wire)
        self._announce(reply, item)
        about = {"response_id": reply.wire["id"], "item_id": item.id, "output_index": 0, "call_id": wire["call_id"]}
        middle = max(1, len(arguments) // 2)
        for piece in (arguments[:middle], arguments[middle:]):
            if piece:
                self.emit("response.function_call_arguments.delta", **about, delta=piece, **self.padding())
        kind = "response.function_call_arguments.done"
        self.emit(kind, **about, name=tool.name, arguments=arguments)
        item.wire |= {"status": "completed", "arguments": arguments}
        self._close_item(reply, item)
        reply.opened = False
        reply.sent_text = arguments
        self.finish(reply, "completed", now)
        self.phase("tool", now)

    # ------------------------------------------------------------------------------------------------ ending

    def cancel(self, event: dict[str, Any], now: int) -> None:
        """response.cancel"""
        wanted = event.get("response_id")
        reply = self.reply
        if reply is None or (wanted is not None and wanted != reply.wire["id"]):
            raise Problem("response_cancel_not_active", "Cancellation failed: no active response found")
        self.finish(reply, "cancelled", now, {"type": "cancelled", "reason": "client_cancelled"})

    def fail(self, reply: Reply, arg: dict[str, Any], now: int) -> None:
        """End a reply as failed (or incomplete), as the script says."""
        if not reply.running:
            return
        status = arg.get("status", "failed")
        if status == "incomplete":
            details: dict[str, Any] = {"type": "incomplete", "reason": arg.get("reason", "content_filter")}
        else:
            error = {"type": arg.get("type", "server_error"), "code": arg.get("code")}
            error["message"] = arg.get("message", "The server had an error while processing your request.")
            details = {"type": "failed", "error": error}
            if arg.get("with_error"):
                self.put_error(Problem(error["code"], error["message"], None, error["type"]), None)
        self.finish(reply, status, now, details, arg.get("usage", False))
        if "close" in arg and not self.gone:
            self.end(Close(arg["close"].get("code", 1011), arg["close"].get("reason", "")))

    def finish(
        self, reply: Reply, status: str, now: int, details: dict[str, Any] | None = None, usage: bool = True
    ) -> None:
        """Close a reply: everything that was opened is ended, then response.done."""
        if not reply.running:
            return
        reply.state = status
        if self.reply is reply:
            self.reply = None
        if reply.opened:
            self._close_message(reply, "completed" if status == "completed" else "incomplete")
        counted = self._usage(reply) if usage else None
        body = self.dialect.response(reply, self.config, status, details, counted)
        self.emit("response.done", response=body)
        if self.script.rate_limits is not None and counted is not None:
            limits = self.script.rate_limits
            entry = {"name": "tokens", "limit": limits.limit, "remaining": limits.remaining}
            self.emit("rate_limits.updated", rate_limits=[{**entry, "reset_seconds": limits.reset_s}])
        if reply.wire.get("tool") is None:
            self.phase("idle", now)

    def _close_message(self, reply: Reply, status: str) -> None:
        at, item = reply.wire["at"], reply.wire["item"]
        text = reply.sent_text
        if reply.wire["voiced"]:
            if not reply.wire.get("audio_done"):
                self.emit(f"{self.dialect.audio}.done", **at)
            self.emit(f"{self.dialect.transcript}.done", **at, transcript=text)
            part = {"type": "audio", "transcript": text}
            content = {"type": self.dialect.audio_content, "transcript": text}
            item.kept_ms = reply.sent_ms
        else:
            self.emit(f"{self.dialect.text}.done", **at, text=text)
            part = {"type": "text", "text": text}
            content = {"type": self.dialect.text_content, "text": text}
            item.kept_ms = 1e9
        self.emit("response.content_part.done", **at, **self._part(part))
        item.wire |= {"status": status, "content": [content]}
        self._close_item(reply, item)

    def sent_ms(self, item: Item) -> float:
        """How much of a reply's sound exists."""
        if self.reply is not None and self.reply.wire.get("item") is item:
            return self.reply.sent_ms
        return item.kept_ms

    def _usage(self, reply: Reply) -> dict[str, Any]:
        """About what the services count: 10 audio tokens a second in, 20 out, a token per four letters."""
        log = reply.wire["log"]
        letters = sum(len(said.text) for said in log) + len(self.config["instructions"])
        text_in = letters // 4 + 8
        audio_in = round(10 * sum(said.seconds for said in log))
        text_out = len(reply.sent_text) // 4 + 1 if reply.sent_text else 0
        audio_out = round(reply.sent_ms / 1000 * 20)
        cached = min(self.cached_tokens, text_in) // 64 * 64
        self.cached_tokens = text_in
        zero = {"text_tokens": cached, "audio_tokens": 0, "image_tokens": 0}
        body = {
            "total_tokens": text_in + audio_in + text_out + audio_out,
            "input_tokens": text_in + audio_in,
            "output_tokens": text_out + audio_out,
            "input_token_details": {
                "text_tokens": text_in,
                "audio_tokens": audio_in,
                "image_tokens": 0,
                "cached_tokens": cached,
                "cached_tokens_details": zero,
            },
            "output_token_details": {"text_tokens": text_out, "audio_tokens": audio_out},
        }
        return self.dialect.usage(body)

    # ------------------------------------------------------------------------------------------------ script

    def act_on_reply(self, do: Do, now: int) -> None:
        """Actions of the script about replies."""
        arg = do.arg if isinstance(do.arg, dict) else {}
        if do.kind == "slow" and self.reply is not None:
            self.reply.pace = do.arg
        elif do.kind == "malformed":
            self.bad_base64 = True
        elif do.kind == "cut_short" and self.reply is not None:
            self.finish(self.reply, "completed", now)
        elif do.kind == "empty":
            self.next_empty = do.arg
        elif do.kind in ("fail", "poison"):
            if do.kind == "poison":
                self.poison = arg
            if self.reply is not None and self.reply.wire.get("log") is not None and "fail" in self.reply.wire:
                self.fail(self.reply, arg, now)
            else:
                self.next_fail = arg
