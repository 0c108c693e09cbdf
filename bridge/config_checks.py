"""What a single key cannot say: names that must exist, addresses, placeholders; and what is allowed but odd."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from datetime import date
from urllib.parse import parse_qsl, urlsplit

from audio.frame import PCMU
from bridge import phrases
from bridge.config_fields import Finding, Path, nearest
from bridge.config_model import BUILT_IN_TOOLS, AgentSettings, Config, Provider, Route, ToolSettings
from bridge.shell import opinions
from providers import models
from providers.registry import codec_for, kinds

PLACEHOLDER = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)
_SECRET_QUERY = re.compile(r"key|token|secret|password|auth", re.IGNORECASE)


def errors(config: Config) -> Iterator[Finding]:
    """Everything that makes the configuration unusable."""
    for name, provider in config.providers.items():
        yield from _provider(("providers", name), provider)
    for name, route in config.routes.items():
        yield from _route(("routes", name), route, config)
    for name, agent in config.agents.items():
        yield from _agent(("agents", name), agent, config)
    yield from _edges(config)
    if config.public_url is not None:
        yield from _address(("public_url",), config.public_url, ("https", "http"), anywhere=True)


def warnings(config: Config, today: date) -> Iterator[Finding]:
    """Everything that works and is probably a mistake."""
    for name, provider in config.providers.items():
        for text in models.warnings(provider.kind, provider.model, today):
            yield ("providers", name, "model"), text, ""
    used = {name for route in config.routes.values() for name in route.providers}
    for name in config.providers:
        if name not in used:
            yield ("providers", name), "no route names it, so it is never dialled", ""
    for name, route in config.routes.items():
        if len(route.providers) == 1 and route.standby != "cold":
            path: Path = ("routes", name, "standby")
            yield path, f"{route.standby} needs a second provider; with one there is nothing to switch to", ""
        if route.last_rung.then == "take_message" and config.record.mode != "full":
            here = ("routes", name, "last_rung", "then")
            yield here, "a message can only be kept with record.mode: full", "it is the caller's side of the record"
        if route.hedge is not None and route.hedge >= route.deadlines.first_audio:
            yield ("routes", name, "hedge"), "is not earlier than deadlines.first_audio, so it never acts", ""
    edge = config.edges.media_ws
    if edge is not None and edge.auth_token and config.public_url is None:
        yield ("public_url",), "is not set: carrier signatures are checked against the request's own Host header", ""
    if config.record.mode == "off" and config.record.keep is not None:
        yield ("record", "keep"), "has no effect while record.mode is off", ""


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an address, without port) can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def split_listen(listen: str) -> tuple[str, int]:
    """"127.0.0.1:8080" or "[::]:8080" to host and port. Raises ValueError with a message for people."""
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("must be HOST:PORT, for example 127.0.0.1:8080")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if re.search(r"[\s/@]", host):
        raise ValueError("must be HOST:PORT, for example 127.0.0.1:8080")
    return host, int(port)


def _provider(path: Path, provider: Provider) -> Iterator[Finding]:
    if provider.kind not in kinds():
        yield (*path, "kind"), f'unknown kind "{provider.kind}"', nearest(provider.kind, kinds())
        return
    found = list(_entry(path, provider))
    yield from found or _wire(path, provider)


def _wire(path: Path, provider: Provider) -> Iterator[Finding]:
    """What the kind itself has against the entry, its options above all."""
    name = str(path[-1])
    try:
        codec_for(provider.target(name), PCMU).dial()
    except ValueError as error:
        message = str(error).removeprefix(f"provider {name}: ")
        yield ((*path, "options") if provider.options else path), message, ""


def _entry(path: Path, provider: Provider) -> Iterator[Finding]:
    if not provider.model.strip():
        yield (*path, "model"), "is empty", ""
    if provider.url is not None:
        yield from _address((*path, "url"), provider.url, ("wss", "ws", "https", "http"))
    if provider.endpoint is not None:
        yield from _address((*path, "endpoint"), provider.endpoint, ("https", "wss", "http", "ws"))
    if provider.kind.startswith("azure") and provider.url is None and provider.endpoint is None:
        yield (*path, "endpoint"), f"is required for {provider.kind}", "the resource's https:// address, or set url"
    key = provider.api_key.get_secret_value().strip() if provider.api_key else ""
    if not key and not provider.headers and (provider.url is None or provider.api_key is not None):
        hint = "give api_key, or headers that carry the credential; behind a url of your own both may be left out"
        yield (*path, "api_key"), "is empty or missing", hint
    elif not key.isprintable() or not key.isascii():
        yield (*path, "api_key"), "holds characters that no key has", "a line break or a typographic quote, perhaps"
    for name, value in provider.headers.items():
        yield from _header((*path, "headers", name), name, value.get_secret_value())


def _header(path: Path, name: str, value: str) -> Iterator[Finding]:
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        yield path, "is not a header name", ""
    elif not value.isprintable() or not value.isascii():
        yield path, "its value holds characters that a header cannot carry", ""


def _address(path: Path, url: str, schemes: tuple[str, ...], anywhere: bool = False) -> Iterator[Finding]:
    # The address itself is not repeated in a message: it may carry what should not be in it.
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        yield path, "is not an address", f"for example {schemes[0]}://host/path"
        return
    if parts.scheme not in schemes or not host or re.search(r"\s", url):
        yield path, "is not an address", f"for example {schemes[0]}://host/path"
    elif parts.username is not None or parts.password is not None:
        yield path, "carries a name or password", "credentials go into api_key or headers"
    elif any(_SECRET_QUERY.search(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        yield path, "carries a credential in its query", "credentials go into api_key or headers"
    elif parts.scheme in ("ws", "http") and not anywhere and not is_loopback(host):
        secure = "wss" if parts.scheme == "ws" else "https"
        yield path, f"is unencrypted ({parts.scheme}://) and not on this machine", f"use {secure}://"


def _route(path: Path, route: Route, config: Config) -> Iterator[Finding]:
    for index, name in enumerate(route.providers):
        here = (*path, "providers", index)
        if name not in config.providers:
            yield here, f'unknown provider "{name}"', nearest(name, config.providers)
        elif name in route.providers[:index]:
            yield here, f'provider "{name}" is listed twice', ""
    limits = route.deadlines
    for name in ("dial", "configured", "prepare", "first_audio", "first_audio_after_tool", "standby_ack"):
        if getattr(limits, name) <= 0:
            yield (*path, "deadlines", name), "must be more than 0", ""
    if limits.prepare > limits.first_audio:
        yield (*path, "deadlines", "prepare"), f"must not be later than first_audio ({limits.first_audio} ms)", ""
    if limits.first_audio > limits.first_audio_after_tool:
        here = (*path, "deadlines", "first_audio_after_tool")
        yield here, f"must not be less than first_audio ({limits.first_audio} ms)", ""
    yield from _last_rung((*path, "last_rung"), route, config)


def _last_rung(path: Path, route: Route, config: Config) -> Iterator[Finding]:
    last = route.last_rung
    target = last.transfer_to.strip()
    if last.then == "transfer" and not target:
        yield (*path, "transfer_to"), "is required when then is transfer", "a number like +15550100 or a sip: address"
    if target and not re.fullmatch(r"\+?[0-9][0-9 ()-]{1,30}|(sips?|tel):\S{1,200}", target):
        yield (*path, "transfer_to"), "is not a number or a sip: address", ""
    hint = f"a WAV or FLAC file, or one of: {', '.join(phrases.NAMES)}"
    if phrases.is_file(last.say):
        wrong = phrases.problem(phrases.find(last.say, config.folder))
        if wrong:
            yield (*path, "say"), wrong, hint
    elif last.say not in phrases.NAMES:
        yield (*path, "say"), f'unknown phrase "{last.say}"', hint


def _agent(path: Path, agent: AgentSettings, config: Config) -> Iterator[Finding]:
    if agent.route not in config.routes:
        yield (*path, "route"), f'unknown route "{agent.route}"', nearest(agent.route, config.routes)
    for name in agent.voices:
        if name not in config.providers:
            yield (*path, "voices", name), f'unknown provider "{name}"', nearest(name, config.providers)
    for name, variable in agent.variables.items():
        if len(variable.default) > variable.max:
            yield (*path, "variables", name, "default"), f"is longer than max ({variable.max})", ""
    for key, text in (("instructions", agent.instructions), ("greeting", agent.greeting)):
        for placeholder in dict.fromkeys(match[1] for match in PLACEHOLDER.finditer(text)):
            if placeholder not in agent.variables:
                hint = nearest(placeholder, agent.variables) if agent.variables else "declare it under variables"
                yield (*path, key), f"uses {{{{{placeholder}}}}}, which variables does not declare", hint
    for name in ("hangover_ms", "preroll_ms", "cut_ms"):
        if not 0 <= getattr(agent.turns, name) <= 10_000:
            yield (*path, "turns", name), "must be between 0 and 10000", ""
    if agent.turns.opinion:
        try:
            opinions.find(agent.turns.opinion)
        except ValueError as error:
            hint = "install it where Segue runs, or put its folder on PYTHONPATH"
            yield (*path, "turns", "opinion"), str(error), hint
    if agent.silence is not None and agent.silence.after < 1000:
        yield (*path, "silence", "after"), "must be at least 1s", "silence: off turns it off"
    seen: set[str] = set()
    for index, tool in enumerate(agent.tools):
        yield from _tool((*path, "tools", index), tool, seen)
        seen.add(tool.name)


def _tool(path: Path, tool: ToolSettings, seen: set[str]) -> Iterator[Finding]:
    if tool.name in seen:
        yield (*path, "name"), f'there is a second tool "{tool.name}"', ""
    if tool.name in BUILT_IN_TOOLS:
        if tool.url is not None:
            yield (*path, "url"), f"{tool.name} is built in and takes no url", "give the tool another name"
        return
    if tool.url is None:
        yield (*path, "url"), "is required", f"only {', '.join(BUILT_IN_TOOLS)} is built in"
    else:
        yield from _address((*path, "url"), tool.url, ("https", "http"), anywhere=True)
    if tool.parameters.get("type") != "object":
        yield (*path, "parameters"), "must be a JSON Schema with type: object", ""
    if not 100 <= tool.timeout <= 300_000:
        yield (*path, "timeout"), "must be between 100ms and 5m", "a bare number is in seconds"
    for name, value in tool.headers.items():
        yield from _header((*path, "headers", name), name, value.get_secret_value())


def _edges(config: Config) -> Iterator[Finding]:
    edge = config.edges.media_ws
    if edge is None:
        return
    path: Path = ("edges", "media_ws")
    if edge.agent not in config.agents:
        yield (*path, "agent"), f'unknown agent "{edge.agent}"', nearest(edge.agent, config.agents)
    if any(not token.get_secret_value() for token in edge.auth_token):
        yield (*path, "auth_token"), "is empty", "leave the key out on a loopback listener"
    try:
        host, _ = split_listen(edge.listen)
    except ValueError as error:
        yield (*path, "listen"), str(error), ""
        return
    if not is_loopback(host) and not edge.auth_token:
        message = f"{edge.listen} can be reached from other machines, so auth_token is required"
        yield (*path, "auth_token"), message, "the carrier account's token; or listen on 127.0.0.1"
    if not is_loopback(host) and config.public_url is None:
        message = f"is required with a listener that other machines can reach ({edge.listen})"
        yield ("public_url",), message, "the https:// address carriers sign and dial"
