"""From configuration to what one call is made with: targets, plan, agent, tools, phrases."""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from audio.files import AudioFileError
from audio.frame import Format
from bridge import phrases
from bridge.config_checks import PLACEHOLDER
from bridge.config_model import BUILT_IN_TOOLS, AgentSettings, Config, LastRungSettings, Route, ToolSettings
from bridge.core.plan import Agent, CallSpec, Candidate, LastRung, Plan, Silence, Tool
from bridge.shell.endpoints import ToolEndpoint
from providers.base import ToolSpec
from providers.codec import Target
from providers.registry import capabilities_for

OWN_PHRASE = "last_rung"
_DESCRIPTIONS = {
    "hang_up": "End the phone call. Use it once the conversation is over and you have said goodbye.",
}


@dataclass(frozen=True, slots=True)
class ResolvedCall:
    """`targets` by provider name, one for each of the plan's candidates; `tools` by tool name, built-in ones absent."""

    spec: CallSpec
    targets: Mapping[str, Target]
    tools: Mapping[str, ToolEndpoint]


@dataclass(frozen=True, slots=True)
class _Shared:
    """What all calls of an agent on one kind of leg are made with. `agent` is as it is when the caller's side says
    nothing; `varies`: it has words that the caller's side may say."""

    agent: Agent
    varies: bool
    plan: Plan
    targets: Mapping[str, Target]
    tools: Mapping[str, ToolEndpoint]


class Resolver:
    """Makes calls of one configuration; a new configuration needs a new one. What calls share is made once."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._shared: dict[tuple[str, Format], _Shared] = {}

    def call_spec(
        self,
        agent_name: str,
        leg: Format,
        parameters: Mapping[str, str],
        call_id: str,
        *,
        marks: bool = True,
        lead_ms: int = 80,
    ) -> ResolvedCall:
        """Everything a call of `agent_name` on a leg that speaks `leg` needs. `parameters` come from the caller's side
        and are not trusted: what the agent does not declare is ignored, the rest is cleaned. Raises KeyError for an
        unknown agent. Reads files only for phrases that `preload` has not read."""
        config = self._config
        settings = config.agents[agent_name]
        shared = self._shared.get((agent_name, leg))
        if shared is None:
            self._shared[agent_name, leg] = shared = _shared(config, agent_name, leg)
        agent = shared.agent
        if shared.varies and parameters:
            values = values_of(settings, parameters)
            instructions, greeting = fill(settings.instructions, values), fill(settings.greeting, values)
            agent = replace(agent, instructions=instructions, greeting=greeting)
        spec = CallSpec(
            call_id=call_id,
            leg=leg,
            agent=agent,
            plan=shared.plan,
            phrases=_phrases(config, config.routes[settings.route].last_rung, leg),
            max_duration_ms=config.limits.max_duration,
            marks=marks,
            lead_ms=lead_ms,
        )
        return ResolvedCall(spec, shared.targets, shared.tools)


def _shared(config: Config, agent_name: str, leg: Format) -> _Shared:
    settings = config.agents[agent_name]
    route = config.routes[settings.route]
    targets = {name: config.providers[name].target(name) for name in route.providers}
    candidates = tuple(
        Candidate(one.name, one.kind, one.model, capabilities_for(one, leg), settings.voices.get(one.name, ""))
        for one in targets.values()
    )
    tools = {tool.name: _endpoint(tool) for tool in settings.tools if tool.name not in BUILT_IN_TOOLS}
    agent = _agent(agent_name, settings)
    return _Shared(agent, bool(settings.variables), _plan(route, candidates), targets, tools)


def targets(config: Config) -> dict[str, Target]:
    """The targets that some route names, by name: all that may ever be dialled."""
    used = {name for route in config.routes.values() for name in route.providers}
    return {name: config.providers[name].target(name) for name in config.providers if name in used}


def preload(config: Config, formats: Iterable[Format]) -> None:
    """Read and convert the phrases of every route, so that no call has to."""
    for leg in formats:
        for route in config.routes.values():
            _phrases(config, route.last_rung, leg)


def values_of(agent: AgentSettings, parameters: Mapping[str, str]) -> dict[str, str]:
    """What the agent's variables are in a call with these parameters."""
    values = {name: variable.default for name, variable in agent.variables.items()}
    for name, variable in agent.variables.items():
        if name in parameters:
            values[name] = clean(parameters[name], variable.max) or variable.default
    return values


def fill(text: str, values: Mapping[str, str]) -> str:
    """`text` with its `{{variables}}` replaced, in one pass: a value that looks like a placeholder stays what it is."""
    return PLACEHOLDER.sub(lambda match: values.get(match[1], ""), text)


def clean(value: str, longest: int) -> str:
    """Text from outside made safe to stand in instructions: one line, no control or format characters, cut to
    `longest` characters."""
    kept = value[: longest * 8]
    if not kept.isprintable():
        spaced = "".join(" " if char.isspace() else char for char in kept)
        kept = "".join(char for char in spaced if not unicodedata.category(char).startswith("C"))
    return " ".join(kept.split())[:longest].rstrip()


def _agent(name: str, settings: AgentSettings) -> Agent:
    silence, values = settings.silence, values_of(settings, {})
    return Agent(
        name=name,
        instructions=fill(settings.instructions, values),
        greeting=fill(settings.greeting, values),
        language=settings.language,
        tools=tuple(_tool(tool) for tool in settings.tools),
        turns=settings.turns,
        line=settings.line,
        silence=Silence(silence.after, silence.prompts) if silence else None,
        bridge_phrase_after_ms=settings.bridge_phrase_after,
    )


def _tool(tool: ToolSettings) -> Tool:
    spec = ToolSpec(tool.name, tool.description or _DESCRIPTIONS.get(tool.name, ""), tool.parameters)
    return Tool(spec, side_effects=tool.side_effects, idempotent=tool.idempotent, repeatable=tool.repeatable)


def _endpoint(tool: ToolSettings) -> ToolEndpoint:
    headers = {key: value.get_secret_value() for key, value in tool.headers.items()}
    return ToolEndpoint(tool.name, tool.url or "", tool.timeout, tool.idempotent, headers)


def _plan(route: Route, candidates: tuple[Candidate, ...]) -> Plan:
    last = route.last_rung
    return Plan(
        candidates=candidates,
        standby=route.standby,
        hedge_ms=route.hedge,
        fail_back=route.fail_back,
        deadlines=route.deadlines,
        last_rung=LastRung(
            phrase=OWN_PHRASE if phrases.is_file(last.say) else last.say,
            then=last.then,
            transfer_to=last.transfer_to.strip(),
            retry_ms=last.retry,
            hold_ms=last.hold,
            repeat_ms=last.repeat,
        ),
    )


def _phrases(config: Config, last: LastRungSettings, leg: Format) -> Mapping[str, bytes]:
    ours = _built_in(leg)
    if not phrases.is_file(last.say):
        return ours
    # A file that vanished since the check does not stop a call from being answered.
    try:
        own = phrases.load(phrases.find(last.say, config.folder), leg)
    except (OSError, AudioFileError):
        return {**ours, OWN_PHRASE: ours["sorry"]} if "sorry" in ours else ours
    return {**ours, OWN_PHRASE: own}


@lru_cache(maxsize=8)
def _built_in(leg: Format) -> Mapping[str, bytes]:
    """The phrases that come with Segue, as far as their files are there."""
    found: dict[str, bytes] = {}
    for name in phrases.NAMES:
        with contextlib.suppress(OSError, AudioFileError):
            found[name] = phrases.load(phrases.FOLDER / f"{name}.wav", leg)
    return found
