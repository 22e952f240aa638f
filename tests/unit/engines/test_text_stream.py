"""Text leaves an answer in whole characters and without any part of a stop string."""

import pytest

from ray_ft.engines.text_stream import TextStream


def bytes_to_text(ids: list[int]) -> str:
    """A decoder in which each id is one byte, as in the worst case of a byte-level tokenizer."""
    return bytes(ids).decode("utf-8", errors="replace")


def pieces_of(data: bytes, stop: tuple[str, ...] = ()) -> tuple[list[str], bool]:
    stream = TextStream(bytes_to_text, stop)
    pieces = []
    for byte in data:
        pieces.append(stream.push(byte))
        if stream.stopped:
            break
    return [*pieces, stream.finish()], stream.stopped


@pytest.mark.parametrize("text", ["plain", "naïve café", "日本語", "👩‍👩‍👧 family", "a\u0301 combining"])
def test_pieces_join_to_the_text_and_hold_no_half_characters(text: str) -> None:
    pieces, _ = pieces_of(text.encode())
    assert "".join(pieces) == text
    assert not any("�" in piece for piece in pieces)


def test_bytes_that_are_no_text_come_out_as_a_decoder_shows_them() -> None:
    data = b"ok \x80\xff then \xe6\x97"
    pieces, _ = pieces_of(data)
    assert "".join(pieces) == data.decode("utf-8", errors="replace")


def test_a_character_appears_with_its_last_byte() -> None:
    pieces, _ = pieces_of("é!".encode())  # C3 A9 21
    assert pieces == ["", "é", "!", ""]


def test_text_before_a_stop_string_is_kept_and_nothing_after() -> None:
    pieces, stopped = pieces_of(b"one END two", stop=("END",))
    assert ("".join(pieces), stopped) == ("one ", True)


def test_what_could_begin_a_stop_string_waits_for_the_next_token() -> None:
    stream = TextStream(bytes_to_text, ("END",))
    assert [stream.push(b) for b in b"xEN!"] == ["x", "", "", "EN!"]


def test_a_held_beginning_is_released_when_the_answer_ends() -> None:
    pieces, stopped = pieces_of(b"the EN", stop=("END",))
    assert ("".join(pieces), stopped) == ("the EN", False)


def test_the_earliest_of_several_stop_strings_wins() -> None:
    stream = TextStream(lambda ids: "".join(["a STOP b\n", "x"][i] for i in ids), ("\n", "STOP"))
    assert (stream.push(0), stream.stopped) == ("a ", True)


def test_a_stop_string_that_overlaps_itself_is_found() -> None:
    pieces, stopped = pieces_of(b"aaab", stop=("aab",))
    assert ("".join(pieces), stopped) == ("a", True)


def test_empty_stop_strings_are_ignored() -> None:
    pieces, stopped = pieces_of(b"text", stop=("",))
    assert ("".join(pieces), stopped) == ("text", False)
