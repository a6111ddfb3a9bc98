"""How often, how long and how loudly is tried again."""

from __future__ import annotations

import threading

import pytest

from image_gateway.client.errors import ApiError, PatienceOver, Stopped
from image_gateway.client.retry import Retrier

PASSING = ApiError("away", status=503)


class Patient:
    """A retrier whose clock moves only by its own waiting, with jitter at its greatest."""

    def __init__(self, patience: float) -> None:
        self.now = 0.0
        self.waits: list[float] = []
        self.said: list[str] = []
        self.retrier = Retrier(
            patience,
            say=self.said.append,
            sleep=self.sleep,
            clock=lambda: self.now,
            jitter=lambda low, high: high,
        )

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


def failing(*errors: ApiError):
    left = list(errors)

    def work() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return work


def test_waits_double_up_to_half_a_minute() -> None:
    patient = Patient(1e9)
    assert patient.retrier.call(failing(*[PASSING] * 9)) == "done"
    assert patient.waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_thousands_of_failures_do_not_overflow() -> None:
    patient = Patient(1e9)
    assert patient.retrier.call(failing(*[PASSING] * 3000)) == "done"


def test_jitter_is_full() -> None:
    asked: list[tuple[float, float]] = []
    retrier = Retrier(99, sleep=lambda _: None, jitter=lambda low, high: asked.append((low, high)) or 0)
    retrier.call(failing(PASSING, PASSING))
    assert asked == [(0, 0.5), (0, 1)]


def test_retry_after_comes_on_top() -> None:
    patient = Patient(99)
    patient.retrier.call(failing(ApiError("busy", status=429, retry_after=7)))
    assert patient.waits == [7.5]


def test_patience_ends_and_is_counted_anew_for_each_call() -> None:
    patient = Patient(3)
    with pytest.raises(PatienceOver, match="away; given up after 3 s"):
        patient.retrier.call(failing(*[PASSING] * 99))
    assert sum(patient.waits) == 3
    assert patient.retrier.call(failing(PASSING, PASSING)) == "done"


def test_what_cannot_pass_is_raised_at_once() -> None:
    patient = Patient(99)
    with pytest.raises(ApiError, match="no"):
        patient.retrier.call(failing(ApiError("no", status=403)))
    assert patient.waits == []


def test_waiting_is_told_once_and_so_is_its_end() -> None:
    patient = Patient(86_400)
    patient.retrier.call(failing(*[PASSING] * 5), whom="store")
    assert patient.said == [
        "waiting for the store: away; trying again for up to 24 h",
        "the store answers again",
    ]


def test_a_single_blip_is_not_told() -> None:
    patient = Patient(99)
    patient.retrier.call(failing(PASSING))
    assert patient.said == []


def test_stop_cuts_the_waiting_short() -> None:
    stop = threading.Event()
    retrier = Retrier(1e9, stop=stop, say=lambda _: stop.set(), jitter=lambda low, high: high)
    with pytest.raises(Stopped):
        retrier.call(failing(ApiError("busy", status=503, retry_after=9999)))


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        *((status, False) for status in (None, 400, 401, 403, 404, 409, 501)),
        *((status, True) for status in (408, 429, 500, 502, 503, 504)),
    ],
)
def test_which_statuses_pass(status: int | None, retryable: bool) -> None:
    assert ApiError("x", status=status).retryable is retryable
