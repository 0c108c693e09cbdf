"""What is answered to which conversation: order decides."""

from __future__ import annotations

from bridge.fakes.answers import Said, answer, open_question, pending_tool
from bridge.fakes.numbered import Reading
from bridge.fakes.speech import answered

CONTINUE = (
    "Your previous answer was cut off after these words, which the caller has heard: “…”. "
    "Continue the answer right after these words. Do not repeat them, do not greet."
)


def asked(n: int | None, complete: bool = True, missing: int = 0, repeated: int = 0) -> Said:
    return Said(
        "user", "speech", reading=Reading(n, complete, missing, repeated) if n is not None else None, seconds=3.24
    )


def user(text: str) -> Said:
    return Said("user", "text", text)


def agent(text: str) -> Said:
    return Said("assistant", "text", text)


def said(*log: Said, instructions: str = "", session: str = "", seconds: float = 8.0) -> str:
    return answer(list(log), instructions, session, seconds).spoken.text


def test_a_numbered_question() -> None:
    text = said(asked(137))
    assert text.startswith("You asked about number one hundred thirty seven.")
    assert len(text.split()) > 15
    assert said(asked(137)) == text != said(asked(138)).replace("eight", "seven")


def test_speech_without_a_number_is_measured() -> None:
    assert said(asked(None)).startswith("I heard you for three point two seconds.")


def test_every_open_question_is_answered() -> None:
    assert answered(said(asked(3), asked(4), seconds=0)) == [3, 4]
    assert answered(said(user("question number 5"), asked(6), seconds=0)) == [5, 6]


def test_answered_questions_are_not_answered_again() -> None:
    assert answered(said(asked(3), agent("You asked about number three."), asked(4), seconds=0)) == [4]


def test_lost_and_doubled_speech_is_heard_in_the_answer() -> None:
    assert "part of your question was missing" in said(asked(8, False, missing=400))
    assert "part of your question was repeated" in said(asked(8, False, repeated=400))
    assert "question was" not in said(asked(8))


def test_a_partial_reply_after_its_question_is_continued() -> None:
    whole = said(asked(12)).split()
    for cut in (1, 5, 11, len(whole) - 1):
        given, rest = " ".join(whole[:cut]), " ".join(whole[cut:])
        assert said(asked(12), agent(given), instructions=CONTINUE) == rest


def test_all_of_it_was_heard() -> None:
    whole = said(asked(12))
    assert said(asked(12), agent(whole), instructions=CONTINUE) == ""


def test_a_partial_reply_before_its_question_is_given_again() -> None:
    whole = said(asked(12))
    given = " ".join(whole.split()[:6])
    assert said(agent(given), asked(12), instructions=CONTINUE) == whole


def test_an_answered_question_is_not_answered_again_when_nobody_asks_to_continue() -> None:
    assert said(asked(12), agent("You asked about number twelve.")) == "Are you still there?"
    prompt = "The caller is silent. Say “One moment please.”"
    assert said(asked(12), agent("You asked about number twelve."), instructions=prompt) == "One moment please."
    assert said(asked(12), agent("You asked about number twelve."), user(prompt)) == "One moment please."


def test_a_tool_s_result_after_a_preamble_is_news() -> None:
    output = Said("system", "output", "4", name="weather")
    text = said(asked(12), agent("One moment please."), Said("assistant", "call", "{}", name="weather"), output)
    assert text.startswith("You asked about number twelve. The result is four.")


def test_a_note_in_front_of_the_audio_is_as_good() -> None:
    whole = said(asked(12)).split()
    note = (
        "(The caller's question follows as audio. The caller has already heard this part of your answer: "
        f"“{' '.join(whole[:9])}”. Continue the answer right after these words. Do not repeat them.)"
    )
    assert said(user("question number 3"), agent("Sure."), user(note), asked(12)) == " ".join(whole[9:])
    assert answered(said(user(note), seconds=0)) == []  # the audio was lost: nothing to answer


def test_a_continuation_of_a_question_that_lost_a_part() -> None:
    whole = said(asked(12))
    text = said(asked(12, False, missing=600), agent(" ".join(whole.split()[:14])), instructions=CONTINUE)
    assert text.startswith("You asked about number twelve. But part of your question was missing.")


def test_a_continuation_of_a_continuation() -> None:
    whole = said(asked(12)).split()
    text = said(asked(12), agent(" ".join(whole[:4])), agent(" ".join(whole[4:9])), instructions=CONTINUE)
    assert text == " ".join(whole[9:])


def test_an_approximate_prefix_is_found_by_its_last_words() -> None:
    whole = said(asked(12)).split()
    assert said(asked(12), agent(" ".join(whole[2:9])), instructions=CONTINUE) == " ".join(whole[9:])


def test_greetings() -> None:
    standard = said()
    assert standard.startswith("Hello, thank you for calling.")
    spoken = "Hello and welcome to our office."
    assert said(instructions=f"Greet the caller. Say exactly: “{spoken}”") == spoken
    assert said(session=f'You are a clerk. Greet with "{spoken}"') == spoken
    assert said(instructions="Say “Zebras welcome!”") == standard
    assert said(user(f"Say this to the caller: “{spoken}”")) == spoken


def test_a_greeting_that_was_cut_off_goes_on() -> None:
    assert said(agent("Hello, thank you for"), instructions=CONTINUE) == "calling. How can I help you today?"
    spoken = "Hello and welcome to our office."
    rest = said(agent("Hello and"), instructions=CONTINUE, session=f"Greet with “{spoken}”")
    assert rest == "welcome to our office."


def test_a_silent_caller() -> None:
    assert said(agent("Hello."), instructions="") == "Are you still there?"
    assert said(agent("Hello."), instructions="Say “One moment.”") == "One moment."


def test_keys_and_other_texts() -> None:
    assert said(user("The caller pressed the keys 1 2"), seconds=0) == "You pressed one two"
    assert said(user("(The caller pressed the keys 3 #.)"), seconds=0) == "You pressed three"
    assert said(user("What a day"), seconds=0) == "I read your message."
    silent = "(The caller has been silent. Ask in a few words whether they are still there.)"
    assert said(agent("Hello."), user(silent)) == "Are you still there?"


def test_results_of_tools_are_told() -> None:
    output = Said("system", "output", '{"temperature": 21, "ok": true}', name="weather")
    call = Said("assistant", "call", "{}", name="weather")
    assert "The result is twenty one." in said(asked(2), call, output)
    told = user('(Note: the tool weather was called with {} and returned {"temperature": 22})')
    assert "The result is twenty two." in said(told, asked(2))
    assert "The result has arrived." in said(asked(2), call, Said("system", "output", "fine", name="weather"))


def test_tools_are_not_called_twice() -> None:
    running = Said("system", "text", "The tool weather was already called with {} and is still running.")
    done = Said("system", "output", "1", name="weather")
    for extra, pending in ((running, True), (done, True), (agent("x"), False)):
        assert pending_tool(open_question([asked(1), extra]), "weather") is pending
    assert not pending_tool(open_question([asked(1), done, agent("It is one."), asked(2)]), "weather")
