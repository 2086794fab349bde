"""How long runs will still take, by hand and in its limits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fedskew.study.time_left import PACE_OVER, Course, Left, pace, time_left
from helpers import PROPERTY


def test_the_pace_is_the_median_of_the_last_rounds() -> None:
    assert pace([]) is None
    assert pace([3.0, 1.0, 2.0]) == 2.0
    assert pace([100.0] * 50 + [1.0] * PACE_OVER) == 1.0


def test_nothing_is_known_before_the_first_round() -> None:
    assert time_left({0: Course("running", 0, 10, None)}, 1) == ({}, None)


def test_a_run_that_cannot_stop_early_has_no_upper_bound_only() -> None:
    fixed = Course("running", 4, 10, 2.0, may_stop_early=False)
    assert time_left({0: fixed}, 1) == ({0: Left(12.0, False)}, Left(12.0, False))
    assert time_left({0: Course("running", 4, 10, 2.0)}, 1)[1] == Left(12.0, True)


def test_the_last_run_is_not_shared_by_jobs_that_have_nothing_to_do() -> None:
    over = Course("done", 10, 10, 1.0, may_stop_early=False)
    last = Course("running", 0, 10, 2.0, may_stop_early=False)
    assert time_left({0: over, 1: last}, 4)[1] == Left(20.0, False)


@PROPERTY
@given(
    st.lists(
        st.builds(
            Course,
            st.sampled_from(["running", "waiting", "done", "failed"]),
            st.integers(0, 50),
            st.integers(1, 50),
            st.none() | st.floats(0.01, 100),
            st.booleans(),
            st.integers(0, 1),
        ),
        max_size=6,
    ),
    st.integers(1, 4),
)
def test_the_whole_lies_between_the_longest_running_run_and_all_of_them_in_a_row(
    courses: list[Course], jobs: int
) -> None:
    runs = dict(enumerate(courses))
    each, whole = time_left(runs, jobs)
    open_runs = {n for n, run in runs.items() if run.state in ("running", "waiting")}
    if whole is None:
        assert each == {}
        return
    assert set(each) == open_runs
    longest = max((each[n].seconds for n, run in runs.items() if run.state == "running"), default=0.0)
    assert longest <= whole.seconds <= sum(left.seconds for left in each.values()) * (1 + 1e-9)
