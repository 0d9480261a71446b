from __future__ import annotations

from localchat_ui.engine.prompt_lookup import LONGEST, SHORTEST, PromptLookup

FILE = list(range(100, 200))


def write(reply: list[int], prompt: list[int]) -> tuple[int, int]:
    """Let a model write this reply; returns decodes and guesses that were wrong."""
    lookup, tokens = PromptLookup(), [*prompt, reply[0]]
    n_decodes = n_wrong = 0
    while len(tokens) < len(prompt) + len(reply):
        rest = reply[len(tokens) - len(prompt) :]
        guess = lookup.guess(tokens, len(rest) - 1)
        n_right = next((n for n, token in enumerate(guess) if token != rest[n]), len(guess))
        tokens += rest[: n_right + 1]
        n_decodes += 1
        n_wrong += len(guess) - n_right
        if guess:
            lookup.learn(len(guess), n_right, len(tokens))
    return n_decodes, n_wrong


def test_what_repeats_the_prompt_takes_few_decodes():
    n_decodes, n_wrong = write(FILE, [1, 2, *FILE, 3, 4])
    assert n_decodes < len(FILE) / 5
    assert n_wrong == 0


def test_behind_a_change_it_goes_on_with_what_stood_behind_it():
    changed = [*FILE[:50], 7, 8, *FILE[52:]]
    n_decodes, n_wrong = write(changed, [1, 2, *FILE, 3, 4])
    assert n_decodes < len(FILE) / 4
    assert n_wrong <= LONGEST


def test_text_that_repeats_nothing_is_not_guessed():
    assert write(list(range(300, 400)), [1, 2, *FILE])[1] == 0


def test_of_two_places_that_read_alike_it_goes_on_behind_the_last_one():
    one, other = [5, 6, 7, 21, 22, 23, 24], [5, 6, 7, 31, 32, 33, 34]
    lookup = PromptLookup()
    tokens = [*one, 9, *other, 9, 8, 5, 6, 7]
    assert lookup.guess(tokens, 10) == [21, 22, 23, 24]
    lookup.learn(4, 4, len(tokens) + 5)
    assert lookup.guess([*tokens, 21, 22, 23, 24, 9, 5, 6, 7], 3) == [31, 32, 33]


def test_wrong_guesses_become_rare():
    # Three tokens are always the same, and what follows is always something else.
    reply = [token for n in range(300) for token in (5, 6, 7, 1000 + n)]
    _, n_wrong = write(reply, [1, 2, 3])
    assert n_wrong < len(reply) / 10


def test_a_guess_is_no_longer_than_there_is_room():
    lookup = PromptLookup()
    assert len(lookup.guess([*FILE, *FILE[:3]], 2)) == 2
    assert len(PromptLookup().guess([*FILE, *FILE[:3]], 100)) == SHORTEST
