"""Modules of JavaScript joined into one script: what it does is tried in the pages' tests, in Chromium."""

import pytest

from export.web.page.files import page_files
from export.web.page.join import joined
from neurocity.errors import ExportError


@pytest.fixture
def modules(tmp_path):
    def write(**texts: str):
        for name, text in texts.items():
            path = tmp_path / f"{name.replace('_', '/')}.js"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def test_modules_come_after_what_they_import_each_once(modules):
    folder = modules(
        main="""import { one } from "./low/one.js";
import { two as second } from "./low/two.js";
one(second);""",
        low_one="""import { TWO } from "./two.js";
const OWN = 1;
export function one(x) { return x + TWO + OWN; }""",
        low_two="""const OWN = 2;
export const TWO = OWN;
export class two {}
export async function later() {}""",
    )
    script = joined(folder, "main.js")
    assert [line for line in script.splitlines() if line.startswith("// ")] == [
        "// low/two.js",
        "// low/one.js",
        "// main.js",
    ]
    assert "const { two: second } = module0;" in script
    assert "return { TWO, two, later };" in script
    assert "export" not in script
    assert script.startswith('(() => {\n"use strict";\n')


def test_what_comes_last_sees_what_the_entries_export(modules):
    folder = modules(
        a="export const A = 1;", b='import { A } from "./a.js";\nexport function b() { return A; }'
    )
    script = joined(folder, "a.js", "b.js", ending="globalThis.found = b() + A;")
    assert script.endswith(
        "const { A } = module0;\nconst { b } = module1;\nglobalThis.found = b() + A;\n})();\n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('import x from "./a.js";', r"main.js: 'import x from \"./a.js\";': pages are joined of"),
        ('import * as x from "./a.js";', r"pages are joined of"),
        ("export default 1;", r"'export default 1;'"),
        ("export { x };", r"pages are joined of"),
        ("export let x = 1;", r"pages are joined of"),
        ('const x = await import("./a.js");', r"pages are joined of"),
        ("const x = import.meta.url;", r"pages are joined of"),
        ('import { x } from "./absent.js";', r"absent.js, which main.js imports: cannot be read"),
        ('import { x } from "./main.js";', r"main.js imports main.js: a circle"),
    ],
)
def test_modules_of_another_kind_are_refused(modules, text, message):
    with pytest.raises(ExportError, match=message):
        joined(modules(main=text, a="export const A = 1;"), "main.js")


def test_the_page_is_one_script_and_one_style():
    files = page_files()
    assert set(files) == {"index.html", "viewer.js", "viewer.css"}
    assert files["viewer.js"].decode().count("class WebScene") == 1
    assert b'src="viewer.js"' in files["index.html"]
