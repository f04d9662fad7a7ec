"""Whether what threads saw could have happened one after the other.

A history is linearizable when its calls can be put in an order that keeps every call that returned before another
began ahead of it, and in which the oracle gives every answer that was given. The search is that of Wing and Gong,
"Testing and verifying concurrent objects" (1993), with Lowe's memory of what was tried: a set of calls and the
state after them.
"""

from copy import deepcopy
from dataclasses import dataclass


@dataclass(frozen=True)
class Call:
    """`began` and `ended` are readings of one clock; `answer` is None where a verb gives none.

    The cost of a block is how long it lasts, in nanoseconds. A `take` is two calls: a `look`, whose answer is how much
    can be spent of `cost` at that moment, at least 1, and afterwards a `hit` of that much. `after` is the place of the
    call in the history that has to be ahead.
    """

    began: int
    ended: int
    verb: str
    now: int = 0
    cost: int = 1
    answer: object = None
    after: int | None = None


def take_of(history, began, ended, now, most, decision, remains):
    """Append the two calls of a `take` to a history; `remains` is whether what remains is read with the decision."""
    amount = decision.spent or 1
    answer = (decision.allowed, decision.remaining) if remains else (decision.allowed,)
    history.append(Call(began, ended, "look", now, most, (amount,) if remains else None))
    history.append(Call(began, ended, "hit", now, amount, answer, len(history) - 1))


def apply(oracle, fresh, call):
    """Return the oracle afterwards and the answer."""
    if call.verb == "reset":
        return fresh(), None
    oracle = deepcopy(oracle)
    if call.verb == "refund":
        if oracle.known:
            oracle.give(call.now, call.cost)
        return oracle, None
    if call.verb == "block":
        oracle.block(call.now, call.now + call.cost)
        return oracle, None
    if call.verb == "unblock":
        oracle.unblock(call.now)
        return oracle, None
    if call.verb == "look":
        return oracle, (min(call.cost, max(1, oracle.peek(call.now, 1).remaining)),)
    answer = oracle.hit(call.now, call.cost)
    return oracle, (answer.allowed, answer.remaining)


def agrees(answer, expected):
    """Compare answers; one may leave out the remainder: (allowed,)."""
    return answer is None or tuple(answer) == expected[: len(answer)]


def is_linearizable(history, fresh):
    """Return whether the calls on one key agree, in some order, with the oracle that `fresh()` makes."""
    tried = set()
    waiting = [(frozenset(range(len(history))), fresh())]
    while waiting:
        left, oracle = waiting.pop()
        if not left:
            return True
        state = (left, repr(sorted(vars(oracle).items())))
        if state in tried:
            continue
        tried.add(state)
        first_end = min(history[i].ended for i in left)
        for i in left:
            if history[i].began <= first_end and history[i].after not in left:
                after, expected = apply(oracle, fresh, history[i])
                if agrees(history[i].answer, expected):
                    waiting.append((left - {i}, after))
    return False
