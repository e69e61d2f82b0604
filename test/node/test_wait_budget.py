"""What never comes is not waited for each time."""

from __future__ import annotations

from s2m2_ros.node.wait_budget import RETRY_PERIOD, VAIN_WAITS, WaitBudget


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_waits_in_vain_become_rare() -> None:
    clock = Clock()
    budget = WaitBudget(clock=clock)
    for _ in range(VAIN_WAITS):
        assert budget.limit(0.1) == 0.1
        budget.report(found=False)
    assert budget.limit(0.1) == 0
    clock.now += RETRY_PERIOD
    assert budget.limit(0.1) == 0.1
    budget.report(found=False)
    assert budget.limit(0.1) == 0


def test_what_came_is_waited_for_again() -> None:
    clock = Clock()
    budget = WaitBudget(clock=clock)
    for _ in range(VAIN_WAITS):
        budget.report(found=False)
    assert budget.limit(0.1) == 0
    budget.report(found=True)
    assert budget.limit(0.1) == 0.1


def test_single_losses_do_not_count() -> None:
    budget = WaitBudget(clock=Clock())
    for _ in range(5):
        budget.report(found=False)
        budget.report(found=False)
        assert budget.limit(0.1) == 0.1
        budget.report(found=True)
