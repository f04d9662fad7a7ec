"""The command line of `ratelimit serve`, as far as it does not serve."""

import pytest

from ratelimit._configuration.problems import ConfigurationError
from ratelimit.serve.command import main
from ratelimit.serve.worker import Settings, Worker


@pytest.mark.parametrize(
    ("options", "status", "problem"),
    [
        (["limits.yaml", "--check"], 0, "limits.yaml: 1 limits, 0 descriptors"),
        (["limits.yaml", "domain.yaml", "--check"], 0, "limits.yaml: 1 limits, 1 descriptors"),
        (
            ["limits.yaml", "domain.yaml"],
            1,
            "limits.yaml:1: expected --grpc ADDRESS, by which descriptors are asked for",
        ),
        (["limits.yaml", "limits.yaml"], 1, "limits.yaml:1: limits: expected limits in the first file, limits.yaml"),
        (
            ["domain.yaml", "domain.yaml"],
            1,
            "domain.yaml:1: domain: expected a domain that no other file has, got 'web'",
        ),
        (["wrong.yaml"], 1, "wrong.yaml:1: limits.api.limit: limit '5', character 1: expected a quota"),
        (["none.yaml"], 1, "ratelimit serve: [Errno 2] No such file or directory: 'none.yaml'"),
        (
            ["limits.yaml", "--http", "a:b"],
            1,
            "ratelimit serve: address: expected HOST:PORT, :PORT or unix:PATH, got 'a:b'",
        ),
        (["limits.yaml", "--http", "192.0.2.1:80"], 1, "ratelimit serve: cannot listen at 192.0.2.1:80: "),
        (["limits.yaml", "--workers", "0"], 2, "--workers: expected 1 or more, got 0"),
    ],
)
def test_names_the_reason_if_it_cannot_start(tmp_path, monkeypatch, capsys, options, status, problem):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "limits.yaml").write_text("limits: {api: 5/day}")
    (tmp_path / "domain.yaml").write_text("domain: web\ndescriptors: [{key: a}]")
    (tmp_path / "wrong.yaml").write_text("limits: {api: '5'}")
    try:
        found = main(options)
    except SystemExit as error:
        found = error.code
    printed = capsys.readouterr()
    assert (found, problem in printed.out + printed.err) == (status, True), printed.err


def test_tables_only_change_with_a_restart(tmp_path):
    file = tmp_path / "limits.yaml"
    file.write_text("limits: {api: 5/day}")
    worker = Worker(Settings((str(file),), "memory", None, None, 1.0))
    before = worker.site
    for field, value in (("max_keys", "5"), ("tables", "shared:a")):
        file.write_text(f"limits: {{api: 5/day}}\n{field}: {value}")
        with pytest.raises(ConfigurationError, match=f":2: {field}: expected .* as at the start, got .*; restart"):
            worker.reload()
    assert worker.site is before
    file.write_text("limits: {api: 6/day}")
    assert worker.reload() is worker.site is not before
