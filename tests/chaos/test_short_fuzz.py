"""A little nonsense into every way in; ``make chaos`` sends a hundred thousand messages."""

import pytest

from chaos.fuzz import Target, fuzz
from chaos.fuzz_targets import SOCKETS, TARGETS
from chaos.violations import Violation

MESSAGES = 3000
SEED = 11


@pytest.mark.filterwarnings("ignore::Warning:fabio", "ignore::DeprecationWarning")
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name.replace(" ", "-"))
def test_every_message_is_taken_or_refused_with_one_sentence(target: Target):
    (outcome,) = fuzz([target], seed=SEED, messages=MESSAGES)
    assert outcome.messages == outcome.taken + outcome.refused
    assert outcome.refused > 0


@pytest.mark.sockets
def test_the_sockets_of_the_stream_serve_a_newcomer_after_a_burst_of_nonsense():
    (outcome,) = fuzz([SOCKETS], seed=SEED, messages=2)
    assert outcome.taken == 2


def test_a_target_that_lets_an_exception_through_is_found_out():
    from contextlib import nullcontext

    def stumble(chance):
        if chance.random() < 0.1:
            raise KeyError("x")
        return ""

    with pytest.raises(Violation, match=r"message \d+ of seed 3: KeyError"):
        fuzz([Target("a bad one", 1.0, lambda: nullcontext(stumble))], seed=3, messages=200)
