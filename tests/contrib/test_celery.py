"""Limits of Celery tasks: messages in memory, and a real worker with four processes."""

import contextlib
import functools
import itertools
import os
import signal
import subprocess
import sys
from datetime import datetime

import celery
import pytest
from celery.exceptions import Retry
from servers import EXAMPLES, PACKAGE
from valkey_servers import Server, valkey_server
from waiting import PATIENCE, until

from ratelimit import CostExceedsLimit, LimitExceeded, RateLimitError, Table, TokenBucket, WaitTimeout
from ratelimit.contrib._applications import application_name
from ratelimit.contrib.celery import TURN, RateLimit

LIMIT = "fixed-window 1/minute anchor first"


@pytest.fixture
def app():
    made = celery.Celery("tests", broker="memory://", set_as_current=False)
    made.task = functools.partial(made.task, shared=False)  # not for other applications of this process
    yield made
    made.close()


class Worker:
    """Runs the messages of an application one at a time, as a worker does, whatever their countdown."""

    def __init__(self, app):
        self.app = app
        self.connection = app.connection_for_read()

    def receive(self):
        message = self.connection.default_channel.basic_get("celery")
        if message is not None:
            self.connection.default_channel.basic_ack(message.delivery_tag)
        return message

    def run(self, message):
        """Return the result of the task, or the exception that ended it."""
        task = self.app.tasks[message.headers["task"]]
        args, kwargs, _ = message.decode()
        context = {key: value for key, value in message.headers.items() if key != "headers"}
        task.push_request(
            args=args, kwargs=kwargs, called_directly=False, delivery_info=message.delivery_info, **context
        )
        celery._state._task_stack.push(task)
        try:
            return (
                task.run(*([task] if task.__bound__ else []), *args, **kwargs) if False else task.run(*args, **kwargs)
            )
        except Exception as error:
            return error
        finally:
            celery._state._task_stack.pop()
            task.pop_request()


def countdown(message):
    """Return the seconds until a message is to be run."""
    eta = message.headers["eta"]
    return None if eta is None else (datetime.fromisoformat(eta) - datetime.now().astimezone()).total_seconds()


@pytest.fixture
def worker(app):
    made = Worker(app)
    while made.receive():  # a broker in memory is shared by all applications
        pass
    yield made
    made.connection.release()


def test_a_task_goes_back_into_the_queue_until_its_turn(app, worker, clock):
    @app.task(name="double")
    @RateLimit(LIMIT, clock=clock)
    def double(number):
        return 2 * number

    for number in range(3):
        double.apply_async([number], task_id=f"task-{number}")
    assert worker.run(worker.receive()) == 0
    clock.advance(10)
    for wait in (50, 110):
        ended = worker.run(worker.receive())
        assert isinstance(ended, Retry)
        assert ended.when == wait
    for number, wait in ((1, 50), (2, 110)):
        message = worker.receive()
        assert message.headers["id"] == f"task-{number}"
        assert message.headers["retries"] == 0
        assert wait - 5 < countdown(message) <= wait
        assert worker.run(message) == 2 * number  # without another decision
    assert worker.receive() is None


def test_a_retry_of_the_task_itself_is_limited_again(app, worker, clock):
    """It counts as a retry, as the wait for its turn does not."""

    @app.task(name="flaky", bind=True, max_retries=1)
    @RateLimit(LIMIT, clock=clock)
    def flaky(self):
        raise self.retry(countdown=1)

    flaky.delay()
    flaky.delay()
    waits, retries = [], []
    for _ in range(6):
        message = worker.receive()
        retries.append(message.headers["retries"])
        ended = worker.run(message)
        waits.append(getattr(ended, "when", type(ended)))
    assert retries == [0, 0, 1, 0, 1, 1]
    # the first runs, the second waits; the retry of the first waits; the turn of the second, and its retry waits
    assert waits == [1, 60, 120, 1, flaky.MaxRetriesExceededError, 180]
    assert worker.receive().headers[TURN] == {f"{__name__}.{flaky.__wrapped__.__qualname__}": 1}


def test_keys_costs_and_tiers(app, worker, clock):
    limit = RateLimit(
        lambda user, pages=1: None if user == "root" else "token-bucket 4/minute",
        key=lambda user, pages=1: user,
        cost=lambda user, pages=1: pages,
        clock=clock,
    )

    @app.task(name="print", bind=True)
    @limit
    def printed(self, user, pages=1):
        return user

    for user, pages, expected in (("ann", 4, "ann"), ("bob", 3, "bob"), ("root", 99, "root"), ("ann", 2, 30.0)):
        printed.delay(user, pages=pages)
        ended = worker.run(worker.receive())
        assert getattr(ended, "when", ended) == expected
    worker.receive()
    printed.delay("bob", 5)
    assert isinstance(worker.run(worker.receive()), CostExceedsLimit)
    limit.clear()
    printed.delay("ann", 4)
    assert worker.run(worker.receive()) == "ann"


def test_two_limits_of_a_task_book_a_turn_each(app, worker, clock):
    @app.task(name="both")
    @RateLimit(LIMIT, clock=clock)
    @RateLimit("fixed-window 1/hour anchor first", clock=clock)
    def both():
        return "ran"

    both.delay()
    assert worker.run(worker.receive()) == "ran"
    both.delay()
    waits = []
    while isinstance(ended := worker.run(worker.receive()), Retry):
        waits.append(ended.when)
        clock.advance(ended.when)
    assert (waits, ended) == ([60, 3540], "ran")


@pytest.mark.parametrize("same", [True, False])
def test_tasks_with_the_same_object_share_its_limit(app, worker, clock, same):
    first = RateLimit(LIMIT, clock=clock)
    second = first if same else RateLimit(LIMIT, clock=clock)
    for task in (app.task(first(one)), app.task(second(two))):
        task.delay()
    ended = [worker.run(worker.receive()) for _ in range(2)]
    assert ended[0] == 1
    assert isinstance(ended[1], Retry) if same else ended[1] == 2


def one():
    return 1


def two():
    return 2


def test_a_limiter_that_is_given_has_the_keys_as_they_are(app, worker, clock):
    """So other parts of the program may count in it."""
    bucket = TokenBucket("5/minute", clock=clock)
    limit = RateLimit(bucket, key=lambda user: user, cost=3)

    @app.task(name="given")
    @limit
    def task(user):
        return user

    task.delay("ann")
    assert worker.run(worker.receive()) == "ann"
    assert bucket.peek("ann").remaining == 2
    limit.clear()
    assert bucket.peek("ann").remaining == 5


def test_does_not_wait_longer_than_max_wait(app, worker, clock):
    limiter = TokenBucket("1/minute", clock=clock)

    @app.task(name="patient")
    @RateLimit(limiter, max_wait=90, clock=clock)
    def patient():
        return "ran"

    for _ in range(4):
        patient.delay()
    ended = [worker.run(worker.receive()) for _ in range(4)]
    assert [getattr(end, "when", end) for end in ended[:2]] == ["ran", 60]
    assert all(isinstance(end, WaitTimeout) and end.delay == 120 for end in ended[2:])


def test_a_direct_call_raises(app, clock):
    @app.task
    @RateLimit(LIMIT, clock=clock)
    def called():
        return "ran"

    assert called() == "ran"
    with pytest.raises(LimitExceeded) as refused:
        called()
    assert refused.value.retry_after == 60
    clock.advance(60)
    assert called() == "ran"  # the refused call has booked nothing


def test_an_eager_task_does_not_wait(app, clock):
    app.conf.task_always_eager = True

    @app.task
    @RateLimit(LIMIT, clock=clock)
    def eager(number):
        return number

    assert [eager.delay(number).get() for number in range(3)] == [0, 1, 2]


def test_celery_checks_the_arguments_of_a_call(app, clock):
    @app.task
    @RateLimit(LIMIT, clock=clock)
    def typed(user):
        return user

    with pytest.raises(TypeError):
        typed.delay()


def test_gives_the_turn_back_if_the_broker_fails(app, worker, clock, monkeypatch):
    @app.task(name="lost")
    @RateLimit(LIMIT, clock=clock)
    def lost():
        return "ran"

    def fails(*args, **options):
        raise ConnectionError("no broker")

    for _ in range(3):
        lost.delay()
    assert worker.run(worker.receive()) == "ran"
    with monkeypatch.context() as broken:
        broken.setattr(celery.canvas.Signature, "apply_async", fails)
        assert isinstance(worker.run(worker.receive()), ConnectionError)
    assert worker.run(worker.receive()).when == 60


@pytest.mark.parametrize("fail_open", [True, False])
def test_failing_limiter_runs_or_fails_the_task_by_fail_open(app, worker, fail_open):
    class BrokenClock:
        def now_ns(self):
            raise RateLimitError("the clock is broken")

    @app.task(name=f"failing-{fail_open}")
    @RateLimit(LIMIT, clock=BrokenClock(), fail_open=fail_open)
    def failing():
        return "ran"

    failing.delay()
    ended = worker.run(worker.receive())
    assert ended == "ran" if fail_open else isinstance(ended, RateLimitError)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": "often"}, "limit 'often'"),
        ({"limit": 5}, "limit: expected text"),
        ({"key": "user"}, "key: expected a function"),
        ({"cost": 0}, "cost: expected a"),
        ({"max_wait": -1}, "max_wait: expected seconds"),
        ({"shared": "a/b"}, "name: expected up to 200"),
    ],
)
def test_rejects_a_wrong_argument_at_start(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        RateLimit(**{"limit": LIMIT} | options)


def test_counts_in_shared_memory_by_default(app):
    name = application_name(__name__)
    try:
        function = RateLimit("2/day")(one)
        again = RateLimit("2/day")(one)
        assert [function(), again()] == [1, 1]
        with pytest.raises(LimitExceeded):
            function()
        assert [table for table in Table.names() if table.startswith(name)] == [f"{name}.token-bucket-2-day"]
    finally:
        for table in Table.names():
            if table.startswith(name):
                Table.shared(table).remove()


WORKER = """
import celery_app, os
app = celery_app.app
app.conf.broker_url = os.environ["BROKER"]
app.conf.worker_hijack_root_logger = False
"""


@pytest.fixture
def broker():
    server = Server(valkey_server())
    yield f"redis://{server.address}:{server.port}/0"
    server.kill()


@pytest.mark.slow
def test_four_processes_of_a_real_worker_run_exactly_at_the_rate(shared_name, broker, tmp_path):
    """Two a second after a burst of two: each task comes back once, at its turn, half a second after the one before."""
    program = (EXAMPLES / "celery_app.py").read_text()
    assert "example" in program
    assert len(program.splitlines()) <= 20, "a program of the documentation has at most 20 lines"
    (tmp_path / "celery_app.py").write_text(program.replace("example", shared_name))
    (tmp_path / "worker.py").write_text(WORKER)
    sent, errors = tmp_path / "sent", tmp_path / "errors"
    variables = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(PACKAGE)]),
        "BROKER": broker,
        "SENT": str(sent),
    }
    send = "import worker; [worker.celery_app.send_mail.delay(f'user-{number}') for number in range(6)]"
    subprocess.run([sys.executable, "-c", send], env=variables, cwd=tmp_path, check=True, timeout=PATIENCE)
    options = ["-P", "prefork", "-c", "4", "--without-gossip", "--without-mingle"]
    command = [sys.executable, "-m", "celery", "-A", "worker", "worker", *options]
    with errors.open("w") as stderr:
        process = subprocess.Popen(command, env=variables, cwd=tmp_path, stderr=stderr, start_new_session=True)

    def ran_all():
        assert process.poll() is None, errors.read_text()
        return sent.exists() and len(sent.read_text().splitlines()) == 6

    try:
        until(ran_all)
    finally:
        # Asked to end, billiard's pool can wait for ever for a lock that a process held when the pool killed it.
        with contextlib.suppress(ProcessLookupError):  # the worker has ended by itself
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)
    lines = [line.split() for line in sent.read_text().splitlines()]
    assert sorted(user for user, _, _ in lines) == [f"user-{number}" for number in range(6)]
    turns = sorted(float(eta) for _, eta, _ in lines if eta != "None")
    assert len(turns) == 4
    assert [after - before for before, after in itertools.pairwise(turns)] == pytest.approx([0.5] * 3, abs=0.1)
    assert all(float(ran) >= float(eta) for _, eta, ran in lines if eta != "None")
