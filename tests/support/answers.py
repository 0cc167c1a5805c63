"""Which backends answer through weir."""

from support.waiting import PATIENCE_S, eventually


def who_answers(weir, target="/web"):
    """The name of the backend that answered one request; None when none did."""
    answer = weir.get(target)
    return answer.headers.get("X-Backend") if answer.status == 200 else None


def all_who_answer(weir, target="/web", requests=20):
    return {who_answers(weir, target) for _ in range(requests)}


def wait_until_only(weir, names, target="/web", within=PATIENCE_S):
    eventually(lambda: all_who_answer(weir, target) == set(names),
               lambda: f"answers from {names} only; last {all_who_answer(weir, target)}",
               within=within)
