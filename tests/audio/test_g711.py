"""G.711 against the segment formulas of the recommendation, written out code by code."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio import g711

ALL = bytes(range(256))
EVERY_SAMPLE = np.arange(-32768, 32768).astype(np.int16)
LAWS = {"pcmu": (g711.ulaw_decode, g711.ulaw_encode), "pcma": (g711.alaw_decode, g711.alaw_encode)}


def ulaw_level(code: int) -> int:
    """G.711 table 2: y = 2**s (2m + 33) - 33 in a 14-bit scale, which sits in the upper bits of 16."""
    code ^= 0xFF
    segment, step = code >> 4 & 7, code & 15
    level = int(4 * ((2 * step + 33) * 2**segment - 33))
    return -level if code & 0x80 else level


def alaw_level(code: int) -> int:
    """G.711 table 1: 13-bit levels, the two lowest segments linear; the 13-bit scale sits in the upper bits."""
    code ^= 0x55
    segment, step = code >> 4 & 7, code & 15
    level = 8 * (2 * step + 1) if segment == 0 else 8 * (2 * step + 33) * 2 ** (segment - 1)
    return level if code & 0x80 else -level


@pytest.mark.parametrize(("law", "level"), [("pcmu", ulaw_level), ("pcma", alaw_level)])
def test_every_code_has_the_level_of_the_recommendation(law, level):
    assert LAWS[law][0](ALL).tolist() == [level(code) for code in range(256)]


def test_known_codes():
    assert g711.ulaw_decode(b"\xff\x7f\x80\x00").tolist() == [0, 0, 32124, -32124]
    assert g711.alaw_decode(b"\xd5\x55\xaa\x2a").tolist() == [8, -8, 32256, -32256]
    assert g711.ulaw_encode(np.array([0, 32767, -32768], dtype=np.int16)) == b"\xff\x80\x00"
    assert g711.alaw_encode(np.array([0, 32767, -32768], dtype=np.int16)) == b"\xd5\xaa\x2a"


def test_every_code_survives_a_round_trip_but_the_negative_zero_of_ulaw():
    assert g711.alaw_encode(g711.alaw_decode(ALL)) == ALL
    back = g711.ulaw_encode(g711.ulaw_decode(ALL))
    assert [code for code in range(256) if back[code] != code] == [0x7F]
    assert back[0x7F] == 0xFF


@pytest.mark.parametrize(("law", "level"), [("pcmu", ulaw_level), ("pcma", alaw_level)])
def test_every_sample_takes_the_code_of_its_decision_interval(law, level):
    """Decision values lie midway between levels inside a segment; at a segment's end the coarser step decides, so the
    interval of the last level reaches half its own step up. Searched from the levels here, cut from the bits there."""
    positive = sorted(code for code in range(256) if level(code) > 0 or (level(code) == 0 and code == 0xFF))
    codes = sorted(positive, key=level)
    levels = [level(code) for code in codes]
    first = [0]
    for below, here in pairwise(levels):
        half_step = (here - below) // 2 if len(first) == 1 else below - first[-1]
        first.append(below + half_step)
    samples = np.arange(32768)
    expected = np.array(codes)[np.searchsorted(first, samples, side="right") - 1]
    got = np.frombuffer(LAWS[law][1](samples.astype(np.int16)), dtype=np.uint8)
    assert np.array_equal(got, expected)


@pytest.mark.parametrize("law", LAWS)
def test_negative_samples_mirror_positive_ones(law):
    encode = LAWS[law][1]
    positive = np.frombuffer(encode(np.arange(32768).astype(np.int16)), dtype=np.uint8)
    negative = np.frombuffer(encode(np.arange(-1, -32769, -1).astype(np.int16)), dtype=np.uint8)
    assert np.array_equal(positive ^ 0x80, negative)


@pytest.mark.parametrize("law", LAWS)
def test_encoding_is_monotonic_and_close(law):
    decode, encode = LAWS[law]
    back = decode(encode(EVERY_SAMPLE)).astype(int)
    assert np.all(np.diff(back) >= 0)
    error = np.abs(back - EVERY_SAMPLE)
    magnitude = np.abs(EVERY_SAMPLE.astype(int))
    assert np.all((error <= magnitude / 32 + 8)[magnitude < 32124])


def test_translation_between_the_laws_equals_decoding_and_encoding():
    assert g711.ulaw_to_alaw(ALL) == g711.alaw_encode(g711.ulaw_decode(ALL))
    assert g711.alaw_to_ulaw(ALL) == g711.ulaw_encode(g711.alaw_decode(ALL))


def test_ulaw_through_alaw_changes_only_the_smallest_levels():
    """The lowest u-law segment has twice the resolution of A-law: of its 32 codes every second one is lost."""
    back = g711.alaw_to_ulaw(g711.ulaw_to_alaw(ALL))
    levels = g711.ulaw_decode(ALL).astype(int)
    changed = [code for code in range(256) if back[code] != code]
    assert len(changed) == 16
    assert all(abs(levels[code]) < 128 and abs(levels[code] - levels[back[code]]) == 8 for code in changed)


@given(st.binary(max_size=700))
def test_any_bytes_decode_one_for_one(data):
    for decode, encode in LAWS.values():
        pcm = decode(data)
        assert pcm.dtype == np.int16 and len(pcm) == len(data) and len(encode(pcm)) == len(data)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("db", [-40.0, -12.0, -3.5, 0.0, 6.0, 40.0])
def test_gain_table_changes_the_level(law, db):
    decode, encode = LAWS[law]
    scaled = np.clip(np.rint(decode(ALL) * 10 ** (db / 20)), -32768, 32767).astype(np.int16)
    table = g711.gain_table(law, db)
    assert ALL.translate(table) == encode(scaled)
    assert g711.gain_table(law, db) is table


def test_gain_table_of_zero_db_changes_nothing_heard():
    assert g711.ulaw_decode(ALL.translate(g711.gain_table("pcmu", 0.0))).tolist() == g711.ulaw_decode(ALL).tolist()
    assert ALL.translate(g711.gain_table("pcma", 0.0)) == ALL


def test_gain_table_refuses_other_encodings():
    with pytest.raises(ValueError, match="pcm16"):
        g711.gain_table("pcm16", -12.0)


def test_encode_reads_strided_and_wire_order_samples():
    pcm = np.arange(-3000, 3000, 7).astype(np.int16)
    assert g711.ulaw_encode(pcm[::3]) == g711.ulaw_encode(pcm[::3].copy())
    assert g711.alaw_encode(pcm.astype("<i2")) == g711.alaw_encode(pcm)
