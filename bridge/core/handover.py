"""What a link is told so that it can go on where another stopped. Pure: conversation in, commands out.

The order is the order of the conversation. A wrong order (the heard part of the answer before the question) makes a
model answer again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from audio.tape import Tape
from bridge.core.conversation import Exchange, Reply, Turn
from bridge.core.ledger import Ledger
from providers.base import HistoryItem, Speech, Text, ToolUse
from providers.codec import Capabilities

UNKNOWN_WORDS = "(caller spoke, words unknown)"
SPEECH_ITEM_MS = 60_000

Heard = Callable[[Reply], str]


@dataclass(frozen=True, slots=True)
class Handover:
    """`seed` goes first, then the audio of `turns` as turns, then the ask with `instructions`."""

    seed: tuple[HistoryItem, ...]
    turns: tuple[Turn, ...]
    instructions: str
    continuation: bool


def reply_ref(exchange: Exchange) -> str:
    """The name of the assistant item that carries an exchange's heard reply."""
    return f"x{exchange.id}a"


def remark_ref(exchange: Exchange) -> str:
    """The name of the remark that tells it instead, where nothing of the assistant's may stand last."""
    return f"x{exchange.id}n"


def said(exchange: Exchange, heard: Heard) -> str:
    """What the caller heard in answer, over all replies of the exchange."""
    return " ".join(
        text for text in (heard(reply) for reply in exchange.replies if not reply.void or reply.heard) if text
    )


def caller_items(exchange: Exchange, caps: Capabilities, tape: Tape) -> list[HistoryItem]:
    """The caller's side of an exchange: its whole text, else audio where accepted, else the text so far or a remark."""
    items: list[HistoryItem] = []
    for turn in exchange.turns:
        ref = f"x{exchange.id}t{turn.id}"
        text = turn.text.strip()
        sound = caps.history_audio and turn.ended is not None and turn.began >= tape.start
        if text and (turn.text_final or not sound):
            items.append(Text("user", text, ref))
        elif sound:
            items += speech_items(turn, tape, ref)
        else:
            items.append(Text("user", UNKNOWN_WORDS, ref))
    return items


def speech_items(turn: Turn, tape: Tape, ref: str) -> list[HistoryItem]:
    """A turn as audio items of at most a minute each."""
    data = tape.read(turn.began, turn.ended)
    step = tape.format.bytes_for(SPEECH_ITEM_MS)
    return [
        Speech(turn.id, data[begin : begin + step], f"{ref}s{begin // step}" if begin else ref)
        for begin in range(0, len(data), step)
    ]


def tool_items(exchange: Exchange, ledger: Ledger) -> list[HistoryItem]:
    """Finished calls as both halves, running ones as a remark."""
    items: list[HistoryItem] = []
    for call in ledger.calls.values():
        if call.exchange != exchange.id:
            continue
        if call.state == "done":
            items.append(ToolUse(f"segue{call.number}", call.name, call.arguments, call.output, f"c{call.number}"))
        elif call.state == "running":
            items.append(
                Text(
                    "system",
                    f"The tool {call.name} was already called with {call.arguments} and is still running. "
                    "Do not call it again; its result will follow.",
                    f"c{call.number}r",
                )
            )
    return items


def history(
    exchanges: list[Exchange], caps: Capabilities, tape: Tape, ledger: Ledger, heard: Heard
) -> list[HistoryItem]:
    """Settled exchanges, oldest first."""
    items: list[HistoryItem] = []
    for exchange in exchanges:
        items += caller_items(exchange, caps, tape)
        items += tool_items(exchange, ledger)
        text = said(exchange, heard)
        if text:
            items.append(Text("assistant", text, reply_ref(exchange)))
    return items


def prompt_for(exchange: Exchange) -> str:
    """Instructions of an ask that no caller turn stands behind."""
    return exchange.prompt


def continue_after(text: str) -> str:
    """Instructions for a reply that was cut off by a failure."""
    return (
        "Your previous answer was cut off after these words, which the caller has heard: "
        f"“{text}”. Continue the answer right after these words. Do not repeat them, do not greet, do not apologise."
    )


def take_over(exchange: Exchange, caps: Capabilities, tape: Tape, ledger: Ledger, heard: Heard) -> Handover:
    """How the open exchange goes to another link, whose history already holds everything before it."""
    text = said(exchange, heard)
    tools = tool_items(exchange, ledger)
    ended = exchange.turns_ended
    speech = tuple(turn for turn in exchange.turns if turn.kind == "speech")
    keys: list[HistoryItem] = [
        Text("user", turn.text, f"x{exchange.id}t{turn.id}") for turn in exchange.turns if turn.kind == "keys"
    ]
    if not text:
        if tools and ended and caps.history_audio:
            turns = [item for turn in speech for item in speech_items(turn, tape, f"x{exchange.id}t{turn.id}")]
            return Handover((*turns, *keys, *tools), (), exchange.prompt, False)
        return Handover((*keys, *tools), speech, exchange.prompt, False)
    told = Text("assistant", text, reply_ref(exchange))
    if not speech:
        return Handover((*keys, *tools, told), (), continue_after(text), True)
    if caps.history_audio and caps.explicit_ask and caps.assistant_final_history:
        items = [item for turn in speech for item in speech_items(turn, tape, f"x{exchange.id}t{turn.id}")]
        return Handover((*items, *keys, *tools, told), (), continue_after(text), True)
    remark = Text(
        "user",
        "(The caller's question follows as audio. The caller has already heard this part of your answer: "
        f"“{text}”. Continue the answer right after these words. Do not repeat them, do not greet, do not apologise.)",
        remark_ref(exchange),
    )
    return Handover((*keys, *tools, remark), speech, "", True)
