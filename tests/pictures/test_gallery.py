from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

from aigc_cli.core.errors import UsageError
from aigc_cli.pictures.gallery import Entry, gallery_html
from aigc_cli.pictures.metadata import encode_picture
from tests.pictures.conftest import pixels, recipe
from tests.render.test_report_html import Page


class Gallery(Page):
    VOID = (*Page.VOID, "input")


EVIL = "<script>alert(1)</script>\" onload='x' \x1b[31m\u202e狐"


@pytest.fixture
def page(tmp_path, fox):
    odd = tmp_path / "a#b?100% é.png"
    odd.write_bytes(encode_picture(pixels(640, 320), None))
    return gallery_html([Entry(fox, recipe()), Entry(odd, None), Entry(fox, recipe(EVIL))], tmp_path, EVIL)


def test_it_loads_nothing_and_links_the_full_pictures(page):
    addresses = Gallery(page).addresses
    data = [address for address in addresses if address.startswith("data:image/jpeg;base64,")]
    assert len(data) == 3
    for address in data:
        assert base64.b64decode(address.partition(",")[2], validate=True).startswith(b"\xff\xd8")
    fox = "0001-%E7%8B%90%E7%8B%B8-7.png"
    assert [address for address in addresses if address not in data] == [fox, "a%23b%3F100%25%20%C3%A9.png", fox]


def test_the_only_script_is_its_own_and_the_policy_knows_it(page):
    [script] = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'" in page
    assert "alert" not in script


def test_whatever_a_prompt_says_is_text(page):
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "\x1b" not in page
    assert "<script>alert" not in page
    assert '" onload' not in page


def test_a_card_tells_prompt_seed_and_command(page):
    card = page.partition("<figure")[2].partition("</figure>")[0]
    for words in ("一只红狐狸", "<dt>seed</dt><dd>7</dd>", "<dd>48 x 32</dd>", "aigc image -m someone/tiny-sd@0123abcd", "0001-狐狸-7.png"):
        assert words in card
    unknown = page.split("<figure")[2]
    assert "<code>" not in unknown.partition("</figure>")[0]


def test_without_script_nothing_that_needs_it_is_shown(page):
    for control in re.findall(r"<(?:input|button)[^>]*>", page):
        assert control.endswith("data-needs-script hidden>")


def test_thumbnails_are_small_and_in_shape(page):
    assert 'width="320" height="160"' in page


def test_a_picture_that_is_gone(tmp_path):
    with pytest.raises(UsageError, match="there is no file"):
        gallery_html([Entry(Path(tmp_path / "gone.png"), None)], tmp_path, "x")
