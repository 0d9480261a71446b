from localchat_ui.engine.text import TextStream


def write(stream: TextStream, *pieces: bytes) -> list[str]:
    return [stream.feed(piece) for piece in pieces]


def test_characters_are_whole_at_every_step():
    stream = TextStream()
    family = "👩‍👩‍👧".encode()
    shown = write(stream, *(family[i : i + 1] for i in range(len(family))))
    assert "".join(shown) == "👩‍👩‍👧"
    assert all("\ufffd" not in text for text in shown)


def test_half_a_character_at_the_end_is_not_lost_silently():
    stream = TextStream()
    assert write(stream, b"caf", "é".encode()[:1]) == ["caf", ""]
    assert stream.finish() == "\ufffd"


def test_stop_string_never_leaks_a_part_of_itself():
    stream = TextStream(["\nUser:"])
    assert write(stream, b"Paris.", b"\nU", b"ser", b": and", b" more") == ["Paris.", "", "", "", ""]
    assert stream.stopped
    assert stream.finish() == ""


def test_what_only_looked_like_a_stop_string_is_shown():
    stream = TextStream(["\nUser:"])
    assert "".join(write(stream, b"one\n", b"Us", b"e it")) == "one\nUse it"
    assert not stream.stopped


def test_beginning_of_a_stop_string_is_shown_when_the_reply_ends_there():
    stream = TextStream(["\nUser:"])
    assert write(stream, b"one\nUs") == ["one"]
    assert stream.finish() == "\nUs"


def test_the_earliest_of_several_stop_strings_wins():
    stream = TextStream(["b", "ab"])
    assert write(stream, b"xxab") == ["xx"]


def test_leading_white_space_is_dropped_once():
    stream = TextStream()
    assert write(stream, b" ", b"\n Paris", b" is") == ["", "Paris", " is"]
