"""Errors say what failed, why, and what to do."""

import pickle

from networks.errors import Permanent, Problem, SpecError, Transient


def test_an_error_reads_as_one_text() -> None:
    error = Permanent("Bucket gone", why="404", advice="Create it.")
    assert str(error) == "Bucket gone: 404. Create it."
    assert str(Permanent("Bucket gone")) == "Bucket gone"


def test_a_transient_error_remembers_what_the_other_side_asked_for() -> None:
    assert Transient("Throttled", retry_after=2.5).retry_after == 2.5


def test_a_problem_names_field_and_remedy() -> None:
    assert str(Problem("miners.count", "too many", "ask for fewer")) == "miners.count: too many; ask for fewer"
    assert str(Problem("", "too many")) == "too many"


def test_a_spec_error_shows_all_problems() -> None:
    error = SpecError([Problem("a", "is wrong"), Problem("b", "too")], what="Network x cannot be deployed")
    assert str(error) == "Network x cannot be deployed:\n- a: is wrong\n- b: too"
    assert str(SpecError([Problem("a", "is wrong")])).startswith("1 mistake:")


def test_errors_survive_being_stored() -> None:
    """A flow's failed state is pickled."""
    error = SpecError([Problem("a", "is wrong")], what="No")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.problems) == (str(error), error.problems)
    later = pickle.loads(pickle.dumps(Transient("Throttled", why="429", advice="Wait.", retry_after=3)))
    assert (str(later), later.retry_after) == ("Throttled: 429. Wait.", 3)
    assert str(pickle.loads(pickle.dumps(Permanent("Gone", why="404")))) == "Gone: 404"
