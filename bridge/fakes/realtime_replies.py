"""The OpenAI family: how a reply is asked for, spoken, cancelled and closed."""

from __future__ import annotations

from typing import Any

import orjson

from bridge.fakes.answers import Said, answer, open_question, tool_wanted
from bridge.fakes.realtime_checks import Problem, invalid
from bridge.fakes.realtime_dialects import Dialect
from bridge.fakes.realtime_items import Item
from bridge.fakes.realtime_writer import RealtimeWriter
from bridge.fakes.replying import Reply
from bridge.fakes.script import Do, ToolRule
from bridge.fakes.session import MS, Shared
from bridge.fakes.speech import Spoken, bank
from bridge.fakes.wire import Close, Request


class Replies(RealtimeWriter):
    """The half of a session that answers."""

    def __init__(self, shared: Shared, connection: int, request: Request, now: int, dialect: Dialect) -> None:
        super().__init__(shared, connection, request, now, dialect)
        self.committed_at = now
        self.reply: Reply | None = None  # the one that may write to the conversation
        self.refused_config: Problem | None = None
        self.next_fail: dict[str, Any] | None = None
        self.next_empty: Any = None
        self.next_interim = ""
        self.poison: dict[str, Any] | None = None

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
        self.numbers = open_question(log, params.get("instructions", "")).numbers
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
            "index": 0,
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
        reply.wire["fail"] = self.poison if self.next_fail is None else self.next_fail
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
        self.announce_limits(early=True)
        if self.next_interim:
            self.speak_aside(reply, self.next_interim)
            self.next_interim = ""
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

    def _call(self, reply: Reply, tool: ToolRule, now: int) -> None:
        """A reply that is a tool call."""
        arguments = orjson.dumps(dict(tool.arguments)).decode()
        wire = {"id": self.fresh("item"), "type": "function_call", "status": "in_progress", "name": tool.name}
        wire |= {"call_id": self.fresh("call"), "arguments": ""}
        item = Item(wire)
        self._announce(reply, item)
        about = {"response_id": reply.wire["id"], "item_id": item.id, "output_index": reply.wire["index"]}
        about["call_id"] = wire["call_id"]
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

    def _failure(self, arg: Any) -> dict[str, Any]:
        """The scripted failure, its short names spelled out."""
        if isinstance(arg, dict):
            return arg
        if arg == "rate_limit":
            message = "Rate limit reached on tokens per minute. Please try again in 1.5s."
            return {"type": "rate_limit_exceeded", "code": self.dialect.rate_limit_code, "message": message}
        if arg in ("content_filter", "max_tokens"):
            reason = "content_filter" if arg == "content_filter" else "max_output_tokens"
            return {"status": "incomplete", "reason": reason, "usage": True}
        return {}

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
        if counted is not None:
            self.announce_limits(early=False)
        if reply.wire.get("tool") is None or status != "completed":
            self.phase("idle", now)

    def sent_ms(self, item: Item) -> float:
        """How much of a reply's sound exists."""
        if self.reply is not None and self.reply.wire.get("item") is item:
            return self.reply.sent_ms
        return item.kept_ms

    # ------------------------------------------------------------------------------------------------ script

    def act_on_reply(self, do: Do, now: int) -> None:
        """Actions of the script about replies."""
        if do.kind == "slow" and self.reply is not None:
            self.reply.pace = do.arg
        elif do.kind == "malformed":
            self.bad_base64 = True
        elif do.kind == "cut_short" and self.reply is not None:
            self.finish(self.reply, "completed", now)
        elif do.kind == "empty":
            self.next_empty = do.arg
        elif do.kind == "interim":
            self.next_interim = do.arg
        elif do.kind in ("fail", "poison"):
            arg = self._failure(do.arg)
            if do.kind == "poison":
                self.poison = arg
            if self.reply is not None and self.reply.wire.get("log") is not None and "fail" in self.reply.wire:
                self.fail(self.reply, arg, now)
            else:
                self.next_fail = arg
