from __future__ import annotations

import pytest

from aigc_cli.core.errors import AigcError
from aigc_cli.core.extras import extra, install_hint


def test_a_missing_package_names_the_extra():
    with (
        pytest.raises(AigcError, match="Curves needs the package no_such_package, which is not installed") as error,
        extra("plot", "Curves"),
    ):
        import no_such_package.inside  # noqa: F401
    assert error.value.hint.startswith("in the folder of the clone: pip install -c constraints.txt ")
    assert error.value.hint.endswith("'.[plot]'")


@pytest.mark.parametrize(
    ("version", "hint"),
    [
        ("2.13.0", "pip install -c constraints.txt '.[plot]'"),
        ("2.13.0+cpu", "pip install -c constraints.txt --extra-index-url https://download.pytorch.org/whl/cpu '.[plot]'"),
    ],
)
def test_an_extra_is_installed_beside_the_torch_that_is_there(monkeypatch, version, hint):
    monkeypatch.setattr("importlib.metadata.version", lambda name: version)
    assert install_hint("plot") == f"in the folder of the clone: {hint}"


def test_a_broken_package_says_what_is_wrong():
    with pytest.raises(AigcError, match="cannot be imported: libx is gone"), extra("plot", "Curves"):
        raise ImportError("libx is gone", name="matplotlib._core")
