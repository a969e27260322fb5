from __future__ import annotations

import pytest

from aigc_cli.core.errors import AigcError
from aigc_cli.core.extras import extra


def test_a_missing_package_names_the_extra():
    with (
        pytest.raises(AigcError, match="Curves needs the package no_such_package, which is not installed") as error,
        extra("plot", "Curves"),
    ):
        import no_such_package.inside  # noqa: F401
    assert error.value.hint == "pip install 'aigc-cli[plot]'"


def test_a_broken_package_says_what_is_wrong():
    with pytest.raises(AigcError, match="cannot be imported: libx is gone"), extra("plot", "Curves"):
        raise ImportError("libx is gone", name="matplotlib._core")
