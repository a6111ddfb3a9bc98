"""File names of the plain image."""

from __future__ import annotations

import pytest

from image_gateway.protocol.views.raw import attachment, is_file_name


@pytest.mark.parametrize("name", ["disk.img", "my disk.qcow2", "диск.img", "a.b.c", ".a.img", "100%.iso"])
def test_file_names(name: str) -> None:
    assert is_file_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "disk",
        "disk.",
        ".img",
        'a"b.img',
        "a\\b.img",
        "a\nb.img",
        "a.img ",
        "a;b/c.img",
        "x" * 252 + ".img",
    ],
)
def test_no_file_names(name: str) -> None:
    assert not is_file_name(name)


def test_names_to_save_under() -> None:
    assert attachment("my disk.img") == 'attachment; filename="my disk.img"'
    assert attachment("é.img") == "attachment; filename=\"_.img\"; filename*=UTF-8''%C3%A9.img"
