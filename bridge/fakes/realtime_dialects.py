"""What differs between the dialects of the OpenAI family: names, session and response objects, refusals."""

from __future__ import annotations

from typing import Any, ClassVar

from audio.frame import PCM16_24K, Format
from bridge.fakes import realtime_flat, realtime_ga
from bridge.fakes.replying import Reply


class Dialect:
    """GA names and objects, as OpenAI speaks them. `content_key`: content parts are repeated under the key "content",
    as Azure OpenAI does."""

    flat = False
    http_refusals = False  # a bad key is refused with HTTP 401 instead of an error after the upgrade
    rate_limit_code = "rate_limit_exceeded"
    added, done = "conversation.item.added", "conversation.item.done"
    audio, transcript, text = "response.output_audio", "response.output_audio_transcript", "response.output_text"
    audio_content, text_content = "output_audio", "output_text"
    allowed: ClassVar[dict[str, tuple[str, ...]]] = {
        "system": ("input_text",),
        "user": ("input_text", "input_audio", "input_image"),
        "assistant": ("output_text",),
    }

    def __init__(self, content_key: bool = False) -> None:
        self.content_key = content_key

    def new_session(self, session_id: str, model: str, expires_at: int) -> dict[str, Any]:
        return realtime_ga.new_session(session_id, model, expires_at)

    def update(self, session: dict[str, Any], patch: Any, audio_sent: bool, replying: bool) -> dict[str, Any]:
        return realtime_ga.update(session, patch, audio_sent, replying)

    def check_response(self, patch: Any, session: dict[str, Any]) -> dict[str, Any]:
        return realtime_ga.check_response(patch, session["model"])

    def input_format(self, session: dict[str, Any]) -> Format:
        return realtime_ga.format_of(session["audio"]["input"]["format"])

    def output_format(self, session: dict[str, Any], params: dict[str, Any]) -> Format:
        return realtime_ga.format_of(self._output(session, params)["format"])

    def transcription(self, session: dict[str, Any]) -> dict[str, Any] | None:
        found: dict[str, Any] | None = session["audio"]["input"]["transcription"]
        return found

    def vad(self, session: dict[str, Any]) -> dict[str, Any] | None:
        found: dict[str, Any] | None = session["audio"]["input"]["turn_detection"]
        return found

    def voiced(self, session: dict[str, Any], params: dict[str, Any]) -> bool:
        return "audio" in (params.get("output_modalities") or session["output_modalities"])

    def word_times(self, session: dict[str, Any]) -> bool:
        return False

    def _output(self, session: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        merged = {**session["audio"]["output"], **params.get("audio", {}).get("output", {})}
        return {"format": realtime_ga.whole_format(merged["format"]), "voice": merged["voice"]}

    def item(self, wire: dict[str, Any]) -> dict[str, Any]:
        return wire

    def response(self, reply: Reply, session: dict[str, Any], status: str, details: Any, usage: Any) -> dict[str, Any]:
        """The response object, every key of it."""
        params = reply.wire["params"]
        return {
            "object": "realtime.response",
            "id": reply.wire["id"],
            "status": status,
            "status_details": details,
            "output": [self.item(wire) for wire in reply.wire["output"]],
            "conversation_id": reply.wire["conversation"],
            "output_modalities": params.get("output_modalities") or session["output_modalities"],
            "max_output_tokens": params.get("max_output_tokens", session["max_output_tokens"]),
            "audio": {"output": self._output(session, params)},
            "usage": usage,
            "metadata": params.get("metadata"),
        }

    def usage(self, body: dict[str, Any]) -> dict[str, Any]:
        return body

    def transcribed(self, session: dict[str, Any], seconds: float, text: str) -> dict[str, Any]:
        """What a finished caller transcript carries besides its text: some models bill tokens, some the duration."""
        model = (self.transcription(session) or {}).get("model") or ""
        if not model.startswith("gpt-4o"):
            return {"usage": {"type": "duration", "seconds": max(1, -int(-seconds // 1))}}
        heard, written = round(10 * seconds), len(text) // 4 + 1
        details = {"text_tokens": 0, "audio_tokens": heard}
        totals = {"total_tokens": heard + written, "input_tokens": heard, "output_tokens": written}
        return {"usage": {"type": "tokens", **totals, "input_token_details": details}}


class FlatDialect(Dialect):
    """Azure Voice Live: the flat names of the beta, with Azure's own fields."""

    flat = True
    http_refusals = True
    rate_limit_code = "inference_rate_limit_exceeded"
    added = "conversation.item.created"
    audio, transcript, text = "response.audio", "response.audio_transcript", "response.text"
    audio_content, text_content = "audio", "text"
    allowed: ClassVar[dict[str, tuple[str, ...]]] = {
        "system": ("input_text",),
        "user": ("input_text", "input_audio", "input_image"),
        "assistant": ("text",),
    }

    def new_session(self, session_id: str, model: str, expires_at: int) -> dict[str, Any]:
        return realtime_flat.new_session(session_id, model, expires_at)

    def update(self, session: dict[str, Any], patch: Any, audio_sent: bool, replying: bool) -> dict[str, Any]:
        return realtime_flat.update(session, patch, audio_sent, replying)

    def check_response(self, patch: Any, session: dict[str, Any]) -> dict[str, Any]:
        return realtime_flat.check_response(patch)

    def input_format(self, session: dict[str, Any]) -> Format:
        return realtime_flat.input_format(session)

    def output_format(self, session: dict[str, Any], params: dict[str, Any]) -> Format:
        chosen = params.get("output_audio_format") or session["output_audio_format"]
        return realtime_flat.OUTPUT_FORMATS[chosen] if chosen else PCM16_24K

    def transcription(self, session: dict[str, Any]) -> dict[str, Any] | None:
        found: dict[str, Any] | None = session["input_audio_transcription"]
        return found

    def vad(self, session: dict[str, Any]) -> dict[str, Any] | None:
        found: dict[str, Any] | None = session["turn_detection"]
        return found

    def voiced(self, session: dict[str, Any], params: dict[str, Any]) -> bool:
        return "audio" in (params.get("modalities") or session["modalities"])

    def word_times(self, session: dict[str, Any]) -> bool:
        return bool(session["output_audio_timestamp_types"])

    def item(self, wire: dict[str, Any]) -> dict[str, Any]:
        return {"id": wire["id"], "object": "realtime.item", **wire}

    def response(self, reply: Reply, session: dict[str, Any], status: str, details: Any, usage: Any) -> dict[str, Any]:
        params = reply.wire["params"]
        return {
            "object": "realtime.response",
            "id": reply.wire["id"],
            "status": status,
            "status_details": details,
            "output": [self.item(wire) for wire in reply.wire["output"]],
            "usage": usage,
            "conversation_id": reply.wire["conversation"],
            "modalities": params.get("modalities") or session["modalities"],
            "voice": params.get("voice") or session["voice"],
            "output_audio_format": params.get("output_audio_format") or session["output_audio_format"],
            "temperature": params.get("temperature", session.get("temperature")),
            "max_output_tokens": params.get("max_output_tokens", session["max_response_output_tokens"]),
            "metadata": params.get("metadata"),
        }

    def usage(self, body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "output_token_details": {**body["output_token_details"], "reasoning_tokens": 0}}

    def transcribed(self, session: dict[str, Any], seconds: float, text: str) -> dict[str, Any]:
        return {}


class AzureDialect(Dialect):
    """Azure OpenAI: GA names, HTTP refusals, its own rate limit code."""

    http_refusals = True
    rate_limit_code = "inference_rate_limit_exceeded"

    def __init__(self) -> None:
        super().__init__(content_key=True)
