"""The carrier media-stream edge: webhook and WebSocket for Twilio Media Streams.

GET|POST /twilio/{agent}/twiml   the document to point a number at; /twilio/twiml for the default agent
WebSocket /twilio/{agent}        the stream it names; /twilio for the default agent
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

import structlog
from aiohttp import web

from bridge.edges import signature, twiml, upgrade
from bridge.edges.media_leg import MediaLeg, MediaStream
from bridge.edges.switchboard import Refused, Switchboard
from bridge.edges.ticket import Claim, Tickets
from bridge.edges.twilio import Start, checked_parameters
from bridge.edges.wsock import GOING_AWAY, NORMAL, POLICY, TRY_AGAIN, ServerSocket

log = structlog.get_logger("segue.media_ws")

MAX_MESSAGE: Final = 64 * 1024
"""Longest message that is read; longer ones are skipped as they arrive."""
MAX_BACKLOG: Final = 256 * 1024
"""Bytes a carrier may leave unread (about 20 s of audio) before its socket is cut."""
TICKET_PARAMETER: Final = "segue_ticket"
TICKET_LIFE: Final = 60.0
RETRY_AFTER: Final = "5"

_MAX_TRANSFERS: Final = 1000
_FAREWELL: Final = 1.0
_CALL_SID = re.compile(r"[A-Za-z0-9_.:-]{0,128}")


class EdgeError(Exception):
    """The edge cannot be set up as configured; the message is for people."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`base` is the public address carriers sign and dial, without a trailing slash; empty, which only a private
    listener may leave it, means whatever host a request names. Times in seconds."""

    host: str
    port: int
    agent: str
    auth_tokens: tuple[str, ...] = ()
    base: str = ""
    start_within: float = 10.0
    ping_after: float = 10.0
    dead_after: float = 20.0
    max_call: float = 3600.0
    look_every: float = 1.0


class MediaWs:
    """The edge. Raises EdgeError for a listener that others can reach and nobody guards."""

    def __init__(self, settings: Settings, switchboard: Switchboard, wall: Callable[[], float] = time.time) -> None:
        check(settings)
        self._settings = settings
        self._switchboard = switchboard
        self._wall = wall
        self._tickets = Tickets("\n".join(settings.auth_tokens[:1]))
        self._streams: set[MediaStream] = set()
        self._empty = asyncio.Event()  # no stream is left
        self._legs: dict[str, MediaLeg] = {}  # by ref, calls that can be come back to
        self._expected: dict[str, float] = {}  # refs whose stream was asked to come back, until when
        self._transfers: OrderedDict[str, str] = OrderedDict()
        self._starting: dict[MediaLeg, asyncio.Task[None]] = {}
        self._watch: asyncio.TimerHandle | None = None

    def add_routes(self, router: web.UrlDispatcher) -> None:
        for path in ("/twilio/twiml", "/twilio/{agent}/twiml"):
            router.add_route("GET", path, self._twiml)
            router.add_post(path, self._twiml)
        for path in ("/twilio", "/twilio/", "/twilio/{agent}", "/twilio/{agent}/"):
            router.add_route("GET", path, self._socket)

    def configure(self, settings: Settings) -> None:
        """Take new settings, except for the address. Tickets given out stay good. Raises EdgeError and changes nothing
        for settings that cannot be used."""
        check(settings)
        self._settings = settings

    async def close(self) -> None:
        """End every stream, the process is going away: those that do not answer within a second are cut."""
        if self._watch is not None:
            self._watch.cancel()
        for task in self._starting.values():
            task.cancel()
        for stream in list(self._streams):
            stream.socket.close(GOING_AWAY, "going away")
        if self._streams:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), _FAREWELL)
        for stream in list(self._streams):
            stream.socket.abort("going away")

    # ------------------------------------------------------------------------------------------------------- webhook

    async def _twiml(self, request: web.Request) -> web.Response:
        body = await request.read()
        posted: list[tuple[str, str]] = []
        if request.content_type == "application/x-www-form-urlencoded":
            posted = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
        if not self._signed(request, posted, body):
            return web.Response(status=403, text="signature missing or wrong\n")
        agent = request.match_info.get("agent", self._settings.agent)
        if not self._switchboard.knows(agent):
            return web.Response(status=404, text="no such agent\n")
        fields: Mapping[str, str] = dict(posted) if posted else request.query
        call_sid = fields.get("CallSid", "")
        if not _CALL_SID.fullmatch(call_sid) or (self._settings.auth_tokens and not call_sid):
            return web.Response(status=400, text="CallSid is missing or malformed\n")
        again = request.query.get("again")
        document = self._first(request, agent, call_sid) if again is None else self._next(request, again, call_sid)
        return web.Response(text=document, content_type="text/xml", headers={"Cache-Control": "no-store"})

    def _first(self, request: web.Request, agent: str, call_sid: str) -> str:
        if not self._room():
            log.info("call refused", agent=agent, why="busy")
            return twiml.busy()
        # Fields of the carrier begin with a capital letter; the rest of the query is for the agent's variables.
        wanted = {name: value for name, value in request.query.items() if name[:1].islower()}
        parameters, dropped = checked_parameters(wanted)
        if dropped:
            log.warning("webhook parameters ignored", why=dropped)
        return self._connect(request, agent, Claim("new", Tickets.new_ref()), call_sid, parameters)

    def _next(self, request: web.Request, ticket: str, call_sid: str) -> str:
        """A stream is over: come back to its call, hand it over, or hang up."""
        claim = self._tickets.check(ticket, call_sid, self._wall())
        if claim is None or claim.kind != "next":
            return twiml.hang_up()
        target = self._transfers.pop(claim.ref, "")
        if target:
            return twiml.dial(target)
        leg = self._legs.get(claim.ref)
        if leg is None or leg.over:
            return twiml.hang_up()
        self._expected[claim.ref] = self._wall() + TICKET_LIFE
        return self._connect(request, leg.agent, Claim("back", claim.ref), call_sid, {})

    def _connect(
        self, request: web.Request, agent: str, claim: Claim, call_sid: str, parameters: Mapping[str, str]
    ) -> str:
        now = self._wall()
        stream = self._tickets.issue(claim.kind, claim.ref, call_sid, now + TICKET_LIFE)
        after = self._tickets.issue("next", claim.ref, call_sid, now + TICKET_LIFE + self._settings.max_call)
        base = self._settings.base or f"http://{request.host}"
        path = "/twilio" if agent == self._settings.agent and "agent" not in request.match_info else f"/twilio/{agent}"
        return twiml.connect(
            re.sub(r"^http", "ws", base) + path,
            {**parameters, TICKET_PARAMETER: stream},
            f"{base}{path}/twiml?again={after}",
        )

    def _signed(self, request: web.Request, posted: list[tuple[str, str]], body: bytes, upgrade: bool = False) -> bool:
        settings = self._settings
        if not settings.auth_tokens:
            return True
        path, _, query = request.raw_path.partition("?")
        bases = [settings.base] if settings.base else [f"http://{request.host}", f"https://{request.host}"]
        urls = [url for base in bases for url in signature.addresses(base, path, query, upgrade)]
        given = request.headers.get("X-Twilio-Signature", "")
        right = signature.verify(settings.auth_tokens, urls, given, posted, body)
        if not right:
            log.warning("signature refused", path=path, peer=request.remote, given=bool(given))
        return right

    # -------------------------------------------------------------------------------------------------------- stream

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        agent = request.match_info.get("agent", self._settings.agent)
        refused = upgrade.refusal(request)
        if refused is not None:
            return refused
        if not self._signed(request, [], b"", upgrade=True):
            return web.Response(status=403, text="signature missing or wrong\n")
        if "Origin" in request.headers:  # a page in a browser on this machine, not a carrier
            return web.Response(status=403, text="not for browsers\n")
        if not self._switchboard.knows(agent):
            return web.Response(status=404, text="no such agent\n")
        if not self._room() and not self._awaits_return():
            return web.Response(status=503, text="busy\n", headers={"Retry-After": RETRY_AFTER})
        transport = upgrade.take_over(request)
        if transport is not None:
            stream = MediaStream(agent, self._begin, self._gone)
            stream.socket = ServerSocket(transport, stream, MAX_MESSAGE, MAX_BACKLOG)
            self._streams.add(stream)
            self._empty.clear()
            self._watch_streams()
        return upgrade.TAKEN

    def _room(self, besides: MediaStream | None = None) -> bool:
        """Whether a call may come in; streams that have not begun and calls being set up count as calls."""
        silent = sum(stream.leg is None and stream is not besides for stream in self._streams)
        return self._switchboard.has_room(silent + len(self._starting))

    def _awaits_return(self) -> bool:
        now = self._wall()
        self._expected = {ref: until for ref, until in self._expected.items() if until > now}
        return bool(self._expected)

    def _begin(self, stream: MediaStream, start: Start) -> None:
        parameters = dict(start.parameters)
        ticket = parameters.pop(TICKET_PARAMETER, None)
        claim = None
        if ticket is not None:
            now = self._wall()
            claim = self._tickets.check(ticket, start.call, now)
            if claim is None and not self._settings.auth_tokens:
                claim = self._tickets.check(ticket, "", now)  # the document was fetched without a CallSid
            if claim is None or claim.kind == "next":
                self._refuse(stream, POLICY, "the ticket is forged, expired or of another call")
                return
        leg = self._legs.get(claim.ref) if claim is not None else None
        if leg is not None and not leg.over:
            self._expected.pop(leg.ref, None)
            leg.attach(stream)
            leg.resumed()
            return
        if claim is not None and claim.kind == "back":
            self._refuse(stream, NORMAL, "the call is over")
            return
        if not self._room(stream):
            self._refuse(stream, TRY_AGAIN, "busy")
            return
        ref = claim.ref if claim is not None else ""
        leg = MediaLeg(start.format, ref, start.call, stream.agent, self._left)
        if ref:
            self._legs[ref] = leg
        leg.attach(stream)
        self._spawn(leg, parameters, {"edge": "media_ws", "call_sid": start.call, "stream_sid": start.stream})

    def _refuse(self, stream: MediaStream, code: int, why: str) -> None:
        log.warning("stream refused", agent=stream.agent, why=why)
        stream.socket.close(code, why)

    def _spawn(self, leg: MediaLeg, parameters: Mapping[str, str], caller: Mapping[str, str]) -> None:
        task = asyncio.get_running_loop().create_task(self._start(leg, parameters, caller), name="start call")
        self._starting[leg] = task

    async def _start(self, leg: MediaLeg, parameters: Mapping[str, str], caller: Mapping[str, str]) -> None:
        try:
            running = await self._switchboard.start(leg.agent, leg, parameters, caller)
        except Refused as refusal:
            log.warning("call refused", agent=leg.agent, why=str(refusal))
            leg.refused(str(refusal))
        except Exception:
            log.exception("call could not be started", agent=leg.agent)
            leg.refused("internal error")
        else:
            leg.started(running)
        finally:
            del self._starting[leg]

    def _gone(self, stream: MediaStream) -> None:
        self._streams.discard(stream)
        if not self._streams:
            self._empty.set()

    def _left(self, leg: MediaLeg, transfer_to: str) -> None:
        self._legs.pop(leg.ref, None)
        self._expected.pop(leg.ref, None)
        if transfer_to and leg.ref:
            self._transfers[leg.ref] = transfer_to
            while len(self._transfers) > _MAX_TRANSFERS:
                self._transfers.popitem(last=False)

    # --------------------------------------------------------------------------------------------------------- watch

    def _watch_streams(self) -> None:
        """Look after silent streams regularly for as long as there are any."""
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(self._settings.look_every, self._look)

    def _look(self) -> None:
        self._watch = None
        settings, now = self._settings, asyncio.get_running_loop().time()
        for stream in list(self._streams):
            silent = now - stream.socket.silent_since
            if stream.leg is None and now - stream.since > settings.start_within:
                self._refuse(stream, POLICY, "no start")
            elif silent > settings.dead_after:
                stream.socket.abort(f"no sign of life for {silent:.0f} s")
            elif silent > settings.ping_after:
                stream.socket.ping()
        for ref in [ref for ref, leg in self._legs.items() if leg.over]:
            del self._legs[ref]
        if self._streams or self._legs:
            self._watch_streams()


def check(settings: Settings) -> None:
    """Raises EdgeError when anybody could call in unsigned, or when no signature could ever be right."""
    if is_loopback(settings.host):
        return
    where = f"edges.media_ws.listen {settings.host}:{settings.port} can be reached by others"
    if not settings.auth_tokens:
        raise EdgeError(f"{where}: set edges.media_ws.auth_token, or listen on 127.0.0.1")
    if not settings.base:
        raise EdgeError(f"{where}: set public_url, the address carriers sign and dial")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`. Names other than localhost count as public."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
