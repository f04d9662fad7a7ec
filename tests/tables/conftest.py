"""Tables that leave nothing behind: names in shared memory of this test alone, and files in its folder."""

import pytest

from ratelimit import Table


@pytest.fixture(params=["shared memory", "file"])
def place(request, shared_name, tmp_path):
    """Return a function that opens one and the same table, as another process would."""
    if request.param == "file":
        return lambda **options: Table.open(tmp_path / "limits.tbl", **options)
    return lambda **options: Table.shared(shared_name, **options)
