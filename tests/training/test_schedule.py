"""Learning rates: warm-up, the four courses, and what is restored of them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.training.schedule import COURSES, Schedule

courses = st.sampled_from(sorted(COURSES))
warmups = st.integers(0, 50)


@given(courses, st.integers(1, 50))
def test_the_warm_up_is_linear_and_ends_at_the_peak(course: str, warmup: int):
    schedule = Schedule(0.5, course, warmup)
    for update in range(1, warmup + 1):
        assert schedule.rate(update) == pytest.approx(0.5 * update / warmup)


@given(courses, warmups)
def test_the_first_update_moves_and_none_exceeds_the_peak(course: str, warmup: int):
    schedule = Schedule(0.5, course, warmup)
    assert all(0 < schedule.rate(update) <= 0.5 for update in range(1, 200))


@given(warmups, st.integers(1, 50))
def test_inverse_square_root_halves_when_updates_quadruple(warmup: int, factor: int):
    schedule = Schedule(0.5, "inverse_sqrt", warmup)
    update = max(warmup, 1) * factor
    assert schedule.rate(4 * update) == pytest.approx(schedule.rate(update) / 2)


@given(warmups, st.integers(1, 100))
def test_linear_falls_by_equal_steps_until_the_last_update(warmup: int, length: int):
    start = max(warmup, 1)
    schedule = Schedule(0.5, "linear", warmup, last=start + length)
    rates = [schedule.rate(update) for update in range(start, start + length + 1)]
    steps = [before - after for before, after in pairwise(rates)]
    assert rates[0] == pytest.approx(0.5)
    assert steps == pytest.approx([0.5 / (length + 1)] * length)
    assert schedule.rate(start + length + 50) == rates[-1]  # a run that was made longer


def test_plateau_is_reduced_each_time_that_patience_runs_out():
    schedule = Schedule(1.0, "plateau", warmup=0, decay_factor=0.5, decay_patience=2)
    rates = []
    for improved in (True, False, True, False, False, False, False, True):
        schedule.after_validation(improved)
        rates.append(schedule.rate(10))
    assert rates == [1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25]


@pytest.mark.parametrize("course", ["constant", "inverse_sqrt"])
def test_other_courses_do_not_look_at_validations(course: str):
    schedule = Schedule(1.0, course, warmup=2)
    before = [schedule.rate(update) for update in range(1, 20)]
    for _ in range(10):
        schedule.after_validation(False)
    assert [schedule.rate(update) for update in range(1, 20)] == before


@given(st.lists(st.booleans()), st.lists(st.booleans()))
def test_a_restored_schedule_goes_on_alike(before: list[bool], after: list[bool]):
    schedule, other = (Schedule(1.0, "plateau", warmup=3, decay_patience=2) for _ in range(2))
    for improved in before:
        schedule.after_validation(improved)
    other.restore(schedule.state())
    for improved in after:
        schedule.after_validation(improved)
        other.after_validation(improved)
        assert other.rate(7) == schedule.rate(7)


def test_reductions_are_those_of_a_peak_and_of_its_course():
    schedule = Schedule(1e-3, "plateau", warmup=0)
    for _ in range(4):
        schedule.after_validation(False)
    state, older = schedule.state(), {"scale": schedule.scale, "stale": schedule.stale}
    for peak, course, saved, expected in [
        (1e-3, "plateau", state, schedule.rate(100)),
        (1e-3, "plateau", older, schedule.rate(100)),
        (1e-4, "plateau", state, 1e-4),
        (1e-3, "constant", state, 1e-3),
    ]:
        other = Schedule(peak, course, warmup=0)
        other.restore(saved)
        assert other.rate(100) == expected
