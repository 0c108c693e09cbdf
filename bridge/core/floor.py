"""Who has the floor: the caller's frames, turns, barge-ins and keys, and the silences between."""

from __future__ import annotations

import re
from collections.abc import Callable

from audio.frame import Frame
from audio.turns import TurnDetector, TurnEvent
from bridge.core.asks import Asks
from bridge.core.conversation import Exchange, ExchangeSort, Reply, Turn
from bridge.core.desk import Desk
from bridge.core.effects import Ping
from bridge.core.events import LineAway
from bridge.core.failover import Failover
from bridge.core.keys import Keys
from bridge.core.links import Link, Links
from bridge.core.opinions import SOUND_MS, Opinions
from bridge.core.speaker import Speaker
from providers.base import Audio, Seed, Text

KEEP_MS = 1300  # of the tape between turns, and the pre-roll: a turn is noticed up to 1.2 s after it began
TEXT_WAIT_MS = 30_000
TRIM_EVERY = 32  # frames
KEYS_EVERY = 4
ASKS_FOR_NUMBER = re.compile(
    r"\b(number|digits?|code|pin|spell(ing)?|postcode|nummer|ziffern|buchstabier\w*|numéro|chiffres|épel\w*|número|dígitos)\b"
    r"[^.!?]*\?\s*$",
    re.IGNORECASE,
)
REPROMPT = "The caller has been silent. Ask in a few words whether they are still there."


class Floor:
    """`turn` is the caller's open turn, provisional or not."""

    def __init__(
        self,
        desk: Desk,
        ears: TurnDetector,
        links: Links,
        speaker: Speaker,
        asks: Asks,
        failover: Failover,
        finish: Callable[[str, str], None],
    ) -> None:
        self._desk = desk
        self._tape, self._playout = desk.tape, desk.playout
        self._ears = ears
        self._links = links
        self._speaker = speaker
        self._asks = asks
        self._failover = failover
        self._finish = finish
        self._preroll = desk.samples(desk.spec.agent.turns.preroll_ms)
        asking = bool(desk.spec.agent.turns.opinion)
        self._keep = desk.samples(SOUND_MS if asking else KEEP_MS) + self._preroll
        self._frames = 0
        self._prompts = 0
        self.turn: Turn | None = None
        self.keys = Keys(desk, self._keyed)
        self.opinions = Opinions(desk, ears) if asking else None
        self.concealed = 0  # samples of the caller made up to cover losses

    # -------------------------------------------------------------------------------------------------- caller audio

    def heard(self, frame: Frame) -> None:
        """One frame: to the tape, to the detector, and to the link while the turn is confirmed."""
        turn = self.turn
        self._tape.append(frame.data)
        if turn is not None and not turn.provisional:
            link = self._failover.active
            if link is not None and link.turn == turn.id:
                self._links.send(link, Audio(frame.data))
        for decided in self._ears.push(frame, self._playout.left(self._desk.now)):
            self._turn_event(decided)
        if frame.concealed:
            self.concealed += frame.samples
        if self.opinions is not None:
            self.opinions.look()
        self._frames = frames = self._frames + 1
        if not frames % KEYS_EVERY:
            self._now_and_then(frames)

    def _now_and_then(self, frames: int) -> None:
        """What need not be looked at with every frame."""
        keys = self._ears.digits()
        if keys:
            self.keys.heard(keys)
        if not frames % TRIM_EVERY:
            self._trim()

    def away(self) -> None:
        """The line was away: what the caller said before is a turn of its own. The tape has nothing of the gap, so
        neither has the detector: its positions and the tape's stay the same."""
        for heard in self._ears.skip(0):
            self._turn_event(heard)

    def line_away(self, event: LineAway) -> None:
        self._desk.note("line_away", ms=event.ms)
        self.away()

    def _trim(self) -> None:
        desk = self._desk
        keep = desk.tape.end - self._keep
        if self.turn is not None:
            keep = min(keep, self.turn.began)
        keep = min(keep, desk.conversation.oldest_needed(desk.tape.end, desk.samples(TEXT_WAIT_MS)) - self._preroll)
        last = desk.conversation.last
        if last is not None and self._unheard(last):
            keep = min(keep, last.turns[0].began)
        desk.tape.trim(keep)

    def _turn_event(self, event: TurnEvent) -> None:
        if event.kind == "barge_in":
            self._begin(event.at, provisional=True)
            self._desk.note("barge_in", turn=self.turn.id if self.turn else 0)
            self._speaker.duck()
        elif event.kind == "speech_start":
            if self.turn is None:
                self._begin(event.at, provisional=False)
            self._confirm(stop=False)
        elif event.kind == "cut":
            if self.turn is None:
                self._begin(event.at, provisional=True)
            self._confirm(stop=True)
        elif event.kind == "cancel":
            self._withdraw()
        elif event.kind == "turn_end" and self.turn is not None:
            self.turn.spoken = event.at
            self._end(self.turn)

    # --------------------------------------------------------------------------------------------------------- turns

    def _begin(self, at: int, provisional: bool) -> None:
        desk = self._desk
        if self.turn is not None:
            return
        began = max(at - self._preroll, desk.tape.start, self._last_end())
        self.turn = desk.conversation.new_turn(min(began, desk.tape.end))
        self.turn.provisional = provisional
        desk.timers.clear("silence")
        desk.note("turn_began", turn=self.turn.id, at_ms=desk.ms(self.turn.began), provisional=provisional)

    def _last_end(self) -> int:
        for turn in reversed(self._desk.conversation.turns.values()):
            if turn.ended is not None and turn.kind == "speech":
                return turn.ended
        return 0

    def _withdraw(self) -> None:
        """It was a backchannel or an echo: it never touches a link."""
        turn = self.turn
        if turn is None:
            return
        self.turn = None
        turn.ended = turn.began
        turn.text_final = True
        self._speaker.restore()
        self._desk.note("turn_withdrawn", turn=turn.id, why="short")
        self.listen()

    def _confirm(self, stop: bool) -> None:
        """The open turn counts: stop the agent if `stop`, join or open an exchange, stream."""
        turn = self.turn
        if turn is None:
            return
        turn.provisional = False
        self._prompts = 0
        exchange = self._interrupt(turn.id, stop)
        exchange.turns.append(turn)
        if len(exchange.turns) == 1:
            self._opened(exchange)
        self._stream(turn)
        self._probe()
        self._failover.rotation.if_quiet()

    def _opened(self, exchange: Exchange) -> None:
        self._desk.note(
            "exchange_opened", exchange=exchange.id, kind=exchange.kind, turns=[turn.id for turn in exchange.turns]
        )

    def _interrupt(self, turn: int, stop: bool) -> Exchange:
        """What a confirmed turn does to the agent's speech; returns the exchange the turn belongs to. The last words of
        a finished reply are let out when the turn came so late that it need not `stop` them."""
        desk = self._desk
        self._failover.interrupted()
        conversation = desk.conversation
        exchange = conversation.open
        latest = exchange.reply if exchange is not None else None
        if self._speaker.left > 0 and (stop or (latest is not None and latest.open)):
            heard = self._cut_heard()
            desk.note("cut", turn=turn, ask=heard.ask if heard else 0, heard_ms=desk.ms(heard.heard) if heard else 0)
            self._reopen_unheard()
            exchange = conversation.open
        else:
            self._speaker.restore()
        if exchange is None:
            return conversation.new_exchange("speech")
        latest = exchange.reply
        if latest is not None and latest.open:
            self._asks.void(latest)
            if latest.continuation:
                self._failover.correct(exchange)
        if exchange.turns and not self._asks.any_heard(exchange):
            return exchange
        answered = latest is not None and latest.complete and not latest.calls
        heard_any = self._asks.any_heard(exchange)
        self._asks.settle(exchange, "answered" if answered else "interrupted" if heard_any else "withdrawn")
        return conversation.new_exchange("speech")

    def _cut_heard(self) -> Reply | None:
        """Silence the agent and write down, for every reply still in the playout, what was heard of it. Returns the
        reply that was sounding."""
        conversation = self._desk.conversation
        key = self._speaker.sounding
        self._speaker.cut()
        self._speaker.ended.clear()
        for exchange in conversation.exchanges[-3:]:
            cut = [reply for reply in exchange.replies if not reply.final and reply.first_audio_ns is not None]
            for reply in cut:
                if reply.open:
                    self._asks.void(reply)
                self._asks.finalise(exchange, reply)
                if reply.heard < reply.transcript.audio.samples:
                    self._asks.truncate(reply)
            if cut:
                self._failover.correct(exchange)
        found = conversation.replies.get(key) if key is not None else None
        return found[1] if found is not None else None

    def _reopen_unheard(self) -> None:
        """A reply that was all generated and not heard at all has answered nothing: its exchange is owed again."""
        last = self._desk.conversation.last
        if last is not None and self._unheard(last):
            for reply in last.replies:
                reply.void = True
            last.state = "open"
            self._desk.note("exchange_reopened", exchange=last.id)

    def _unheard(self, exchange: Exchange) -> bool:
        """There is an answer to what the caller said, and the caller has not heard anything of it yet."""
        if exchange.state != "answered" or not exchange.turns or self._asks.any_heard(exchange):
            return False
        return any(reply.first_audio_ns is not None for reply in exchange.replies)

    def _stream(self, turn: Turn) -> None:
        """Give the turn so far to the active link; further frames follow as they come."""
        link = self._failover.active
        if link is None or self._failover.holding or not self._may_stream(link):
            return
        link.turn = turn.id
        self._links.begin_turn(link, turn.id)
        self._links.audio(link, self._desk.tape.read(turn.began, turn.ended))

    def _may_stream(self, link: Link) -> bool:
        """Some models die of caller audio while a tool call is pending."""
        return not (link.candidate.capabilities.hold_audio_for_tools and self._owed_tools(link))

    def _owed_tools(self, link: Link) -> bool:
        return any(
            waiter.link == link.number and not waiter.delivered
            for call in self._desk.ledger.calls.values()
            for waiter in call.waiters
        )

    def resume_stream(self) -> None:
        """Tools were answered: a turn that was held back goes out."""
        link = self._failover.active
        exchange = self._desk.conversation.open
        if link is None or exchange is None or not exchange.turns:
            return
        turn = exchange.turns[-1]
        if turn.kind != "speech" or link.turn == turn.id or not self._may_stream(link):
            return
        if turn.ended is None:
            self._stream(turn)
        elif exchange.reply is None:
            self._stream(turn)
            self._end_on(link, turn, exchange)

    def _end(self, turn: Turn) -> None:
        """The caller has finished: the exchange is owed a reply."""
        desk = self._desk
        self.turn = None
        turn.ended = desk.tape.end
        desk.timers.clear("ping")
        desk.note("turn_ended", turn=turn.id, began_ms=desk.ms(turn.began), at_ms=desk.ms(turn.ended), kind=turn.kind)
        exchange = desk.conversation.open
        if exchange is None:
            return
        self._owe(exchange)
        link = self._failover.active
        if link is None:
            self._failover.owed()
        elif link.turn == turn.id and not self._failover.holding:
            self._end_on(link, turn, exchange)

    def _end_on(self, link: Link, turn: Turn, exchange: Exchange) -> None:
        link.turn = None
        self._links.end_turn(link, turn.id)
        self._asks.ask(link, exchange)

    def _owe(self, exchange: Exchange) -> None:
        """The reply is due from now on."""
        exchange.owed_ns = self._desk.now
        after_ms = self._desk.spec.agent.bridge_phrase_after_ms
        if after_ms is not None and exchange.turns:
            self._desk.after("bridge", after_ms)

    def bridge_phrase(self) -> None:
        """The timer "bridge": the caller has waited in silence for long; a word of our own, kept out of the history."""
        exchange = self._desk.conversation.open
        reply = exchange.reply if exchange is not None else None
        if reply is not None and reply.open and reply.first_audio_ns is not None:
            return  # it is being answered, if haltingly
        if exchange is not None and exchange.turns_ended and self._speaker.left == 0:
            self._speaker.phrase("hold")

    # ---------------------------------------------------------------------------------------------------------- keys

    def _keyed(self, digits: str) -> None:
        """Keys count as a turn."""
        desk = self._desk
        position = desk.tape.end
        turn = desk.conversation.new_turn(position, "keys")
        turn.ended = position
        turn.text = f"(The caller pressed the keys {' '.join(digits)}.)"
        turn.text_final = True
        desk.note("turn_began", turn=turn.id, at_ms=desk.ms(position), provisional=False)
        desk.note(
            "turn_ended", turn=turn.id, began_ms=desk.ms(position), at_ms=desk.ms(position), kind="keys", digits=digits
        )
        exchange = self._interrupt(turn.id, stop=True) if self.turn is None else desk.conversation.open
        if exchange is None:
            exchange = desk.conversation.new_exchange("keys")
        exchange.turns.append(turn)
        if len(exchange.turns) == 1:
            exchange.kind = "keys"
            self._opened(exchange)
        self._owe(exchange)
        link = self._failover.active
        if link is None:
            self._failover.owed()
            return
        if self._failover.holding:
            return
        self._links.send(link, Seed((Text("user", turn.text, f"x{exchange.id}t{turn.id}"),)))
        if exchange.turns_ended:
            self._asks.ask(link, exchange)

    # ------------------------------------------------------------------------------------------------------- silences

    def agent_said(self, text: str) -> None:
        """The agent's words were heard to their end. Who is asked for a number reads it in groups, with pauses."""
        if ASKS_FOR_NUMBER.search(text):
            self._ears.expect("number")

    def listen(self) -> None:
        """Nobody speaks and nobody is owed anything: start the clock of the silence policy."""
        silence = self._desk.spec.agent.silence
        busy = self.turn is not None or self.keys.collecting or self._desk.conversation.open is not None
        if silence is not None and not busy:
            self._desk.after("silence", silence.after_ms)

    def silence(self) -> None:
        """The timer "silence"."""
        desk = self._desk
        policy = desk.spec.agent.silence
        if policy is None or self.turn is not None or desk.conversation.open is not None or self._speaker.left > 0:
            return
        if self._prompts >= policy.prompts:
            self._finish("goodbye", "caller silent")
            return
        link = self._failover.active
        if link is None:
            self.listen()
            return
        self._prompts += 1
        desk.note("silence_prompt", count=self._prompts)
        self.prompt("reprompt", REPROMPT)

    def prompt(self, kind: ExchangeSort, words: str) -> None:
        """An exchange with no caller turn: the agent speaks because it is asked to."""
        desk = self._desk
        exchange = desk.conversation.new_exchange(kind, words)
        self._owe(exchange)
        self._opened(exchange)
        link = self._failover.active
        if link is not None and not self._failover.holding:
            self._asks.ask(link, exchange, instructions=words)

    def _probe(self) -> None:
        """While the caller speaks, a silent socket proves nothing: ask for a sign of life."""
        link = self._failover.active
        if link is not None and link.candidate.capabilities.probe_ping:
            self._desk.do(Ping(link.number, self._desk.deadlines.ping_budget))
        self._desk.after("ping", self._desk.deadlines.ping_every)

    def ping(self) -> None:
        """The timer "ping"."""
        if self.turn is not None:
            self._probe()
