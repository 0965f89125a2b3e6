"""Types leave a TypeScript module. ``tests/integration/sdk_js`` compares with what TypeScript itself makes of the SDK."""

from __future__ import annotations

import re

import pytest

from server.browser_sdk.modules import SOURCES, erased_modules
from server.browser_sdk.type_erasure import UnknownSyntaxError, erase_types


@pytest.mark.parametrize(
    ("typescript", "javascript"),
    [
        ("const a: number = 1;", "const a = 1;"),
        ("let a!: string;", "let a ;"),
        ("const a = b as unknown as string[];", "const a = b ;"),
        ("const a = (b satisfies C).d!.e;", "const a = (b ).d .e;"),
        ("f<Map<string, number>>(x);", "f (x);"),
        (
            "function f<T extends object>(a?: T, ...b: T[]): a is T { return a; }",
            "function f (a , ...b ) { return a; }",
        ),
        ("const a = function (this: B, c: string) {};", "const a = function ( c ) {};"),
        ("function a(this: B): void {}", "function a( ) {}"),
        ("type A = { b: string };\nexport type { A };\nlet x;", "\n\nlet x;"),
        ('import { a, type B, c } from "./d.js";', 'import { a, c } from "./d.js";'),
        ('import type { B } from "./d.js";', ""),
        ('import { type B } from "./d.js";', 'import { } from "./d.js";'),
        ("export interface A { b: string }", ""),
        ("const a = (b: string): string => b;", "const a = (b ) => b;"),
        ("function f(a: string): void;\nfunction f(a) {}", "\nfunction f(a) {}"),
        ("class A implements B { private c?: string; protected override d(): void {} }", "class A { c ; d() {} }"),
    ],
)
def test_types_become_spaces(typescript: str, javascript: str) -> None:
    assert re.sub(" +", " ", erase_types(typescript)) == javascript


def test_columns_stay_where_they_are() -> None:
    assert erase_types("const a: number = b as C, d = 1;") == "const a         = b     , d = 1;"


def test_parameters_that_are_fields_are_declared_and_assigned() -> None:
    erased = erase_types(
        "class A {\n  b = 1;\n  constructor(private readonly c: string, d: number) {\n    e(d);\n  }\n}"
    )
    assert re.sub(" +", " ", erased) == "class A { c;\n b = 1;\n constructor( c , d ) { this.c = c;\n e(d);\n }\n}"


def test_they_are_assigned_after_the_constructor_of_the_base_class() -> None:
    erased = erase_types("class A extends B { constructor(readonly c: string) { super(c); this.d(); } }")
    assert "super(c); this.c = c; this.d();" in erased


def test_lines_stay_where_they_are() -> None:
    for path, module in erased_modules(SOURCES).items():
        source = (SOURCES / path).with_suffix(".ts").read_text("utf-8")
        assert len(module.split("\n")) == len(source.split("\n")), path


@pytest.mark.parametrize(
    "typescript",
    [
        "enum A { B }",
        "namespace A { export const b = 1; }",
        "abstract class A {}",
        "declare const a: string;",
        "const a = <string>b;",
        "import a = require('b');",
        "@a class B {}",
    ],
)
def test_what_is_more_than_a_type_is_refused(typescript: str) -> None:
    with pytest.raises(UnknownSyntaxError, match=r"line 2: .* is more than a type"):
        erase_types(f"let a;\n{typescript}")


def test_so_is_what_is_no_typescript() -> None:
    with pytest.raises(UnknownSyntaxError, match="this is not TypeScript"):
        erase_types("const = ;")
