"""Go templates. The expected values are those of `text/template` and of docker's functions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.go_template import GoTemplate, Struct, TemplateError

DATA: dict[str, Any] = {
    "I": 17,
    "Zero": 0,
    "F": 2.5,
    "True": True,
    "Name": "hello world",
    "Empty": "",
    "Null": None,
    "SI": [3, 4, 5],
    "SS": ["a", "b", "c"],
    "None": [],
    "M": {"two": 2, "one": 1},
    "Deep": {"list": [{"name": "x"}, {"name": "y"}]},
    "S": Struct(A=1, B="two"),
}


def render(template: str, data: object = DATA) -> str:
    return GoTemplate(template).render(data)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        # text, trimming and comments
        ("", ""),
        ("some {text}", "some {text}"),
        ("{{3}}-{{ 4 }}", "3-4"),
        ("{{23 -}} < {{- 45}}", "23<45"),
        ("a \n\t {{- 1 -}} \n b", "a1b"),
        ("{{-3}}", "-3"),
        ("a {{/* a\ncomment */}} b", "a  b"),
        ("a {{- /* comment */ -}} b", "ab"),
        ('{{"{{"}}x{{"}}"}}', "{{x}}"),
        # constants
        ('{{"a\\tb\\x41\\u00e9\\101"}}', "a\tbA\u00e9A"),
        ("{{`raw \\n \"quoted\"`}}", 'raw \\n "quoted"'),
        ("{{'a'}} {{'\\n'}} {{0x10}} {{010}} {{0b11}} {{1_000}} {{1e3}} {{1.50}}",
         "97 10 16 8 3 1000 1000 1.5"),
        ("{{true}} {{false}}", "true false"),
        ("{{1e5}} {{1e6}} {{123456.5}} {{1234567.5}} {{0.0001}} {{0.00001}}",
         "100000 1e+06 123456.5 1.2345675e+06 0.0001 1e-05"),
        # fields
        ("{{.I}} {{.Name}} {{.True}} {{.F}}", "17 hello world true 2.5"),
        ("{{.Missing}} {{.Missing.Deeper}} {{.Null}}", "<no value> <no value> <no value>"),
        ("{{.}}", None),
        ("{{.M}} {{.SI}} {{.SS}} {{.S}}", "map[one:1 two:2] [3 4 5] [a b c] {1 two}"),
        ("{{.M.two}} {{.S.B}} {{.m.two}} {{(index .Deep.list 1).name}}", "2 two 2 y"),
        ("{{(.Deep).list | len}}", "2"),
        # pipelines and functions
        ('{{printf "%d" .I | printf "<%s>"}}', "<17>"),
        ('{{print 1 2 "x" 3 nil true}}', "1 2x3 <nil> true"),
        ('{{println "a" 1}}', "a 1\n"),
        ("{{len .Name}} {{len .SI}} {{len .M}}", "11 3 2"),
        ('{{index .SI 1}} {{index .M "two"}} {{index .Name 0}} {{index .Deep "list" 0 "name"}}',
         "4 2 104 x"),
        ('{{slice .SI 1}} {{slice .Name 0 5}} {{slice .SI 1 2}}', "[4 5] hello [4]"),
        ('{{index .M "none"}}', "<no value>"),
        ("{{and 1 0}} {{and 1 2}} {{or 0 .Empty}}|{{or 0 3 4}} {{not 0}} {{not .SI}}",
         "0 2 |3 true false"),
        ("{{and .Empty (index .None 9)}}|{{or 1 (index .None 9)}}", "|1"),
        ('{{html "<a b=\'1\'>&\\""}}', "&lt;a b=&#39;1&#39;&gt;&amp;&#34;"),
        ('{{urlquery "a b&c=é/~"}}', "a+b%26c%3D%C3%A9%2F~"),
        ('{{js "it\'s <x>"}}', "it\\'s \\u003Cx\\u003E"),
        # comparison
        ("{{eq 1 1}} {{eq 1 2 1}} {{eq 1 2 3}} {{ne 1 2}} {{eq .Name `hello world`}}",
         "true true false true true"),
        ("{{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge 1 2}} {{lt `a` `b`}} {{lt 1.5 2.5}}",
         "true true false false true true"),
        ("{{eq .Null nil}} {{eq true true}}", "true true"),
        # control
        ("{{if .Zero}}yes{{else if .I}}maybe{{else}}no{{end}}", "maybe"),
        ("{{if not .I}}a{{end}}b", "b"),
        ("{{if .None}}a{{else}}b{{end}}{{if .S}}c{{end}}{{if .Null}}d{{end}}", "bc"),
        ("{{with .M}}{{.one}}{{else}}none{{end}}", "1"),
        ("{{with .Empty}}a{{else with .Name}}{{.}}{{end}}", "hello world"),
        ("{{with $x := .I}}{{$x}} {{.}}{{end}}", "17 17"),
        ("{{range .SI}}<{{.}}>{{end}}", "<3><4><5>"),
        ("{{range $i, $e := .SS}}{{$i}}={{$e}},{{end}}", "0=a,1=b,2=c,"),
        ("{{range $e := .SS}}{{$e}}{{end}}", "abc"),
        ("{{range $k, $v := .M}}{{$k}}:{{$v}} {{end}}", "one:1 two:2 "),
        ("{{range .None}}x{{else}}empty{{end}}{{range .Null}}x{{end}}", "empty"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ("{{range .SI}}{{if eq . 4}}{{continue}}{{end}}{{.}}{{end}}", "35"),
        ("{{range .SI}}{{if eq . 4}}{{break}}{{end}}{{.}}{{end}}", "3"),
        ("{{range .SI}}{{$.I}} {{end}}", "17 17 17 "),
        # variables
        ("{{$x := 1}}{{$x}}{{$x = 2}}{{$x}}", "12"),
        ("{{$x := 1}}{{if true}}{{$x = 2}}{{$x := 3}}{{$x}}{{end}}{{$x}}", "32"),
        ("{{$n := 0}}{{range .SI}}{{$n = .}}{{end}}{{$n}}", "5"),
        ("{{$m := .M}}{{$m.one}}", "1"),
        # templates
        ('{{define "x"}}<{{.}}>{{end}}{{template "x" .I}}{{template "x"}}', "<17><<no value>>"),
        ('{{block "y" .Name}}[{{.}}]{{end}}', "[hello world]"),
        # docker's functions
        ("{{json .}}", None),
        ("{{json .SS}} {{json .Name}} {{json .Null}} {{json `<a>`}}",
         '["a","b","c"] "hello world" null "<a>"'),
        ('{{join .SS ", "}} {{split "a/b" "/"}} {{upper "ab"}} {{lower "AB"}}',
         "a, b, c [a b] AB ab"),
        ('{{title "hello big-world"}}', "Hello Big-World"),
        ('<{{pad "x" 2 1}}><{{pad "" 2 1}}>{{truncate "abcdef" 3}}{{truncate "a" 3}}',
         "<  x ><>abca"),
    ],
)  # fmt: skip
def test_what_go_prints(template: str, expected: str | None) -> None:
    text = render(template)
    if expected is None:
        assert text
    else:
        assert text == expected


@pytest.mark.parametrize(
    ("form", "values", "expected"),
    [
        ("%5d|%-5d|%05d|%+d|%x|%X|%#x|%o|%b|%c|%U|%q", [42] * 12,
         "   42|42   |00042|+42|2a|2A|0x2a|52|101010|*|U+002A|'*'"),
        ("%s|%10s|%-4s|%.2s|%q|%x|% x", ["ab", "ab", "ab", "abc", 'a"', "ab", "ab"],
         'ab|        ab|ab  |ab|"a\\""|6162|61 62'),
        ("%v %v %v %+v %T %T", [1, "a", [1, "b"], {"a": 1}, "x", 1.5],
         "1 a [1 b] map[a:1] string float64"),
        ("%f %.2f %e %g %8.3f %06.2f", [1.5, 1.255, 1500.0, 1e21, 3.14159, -1.5],
         "1.500000 1.25 1.500000e+03 1e+21    3.142 -01.50"),
        ("%t %%", [True], "true %"),
        ("%d", ["hi"], "%!d(string=hi)"),
        ("%s", [3], "%!s(int=3)"),
        ("%s %s", ["a"], "a %!s(MISSING)"),
        ("%s", ["a", 2], "a%!(EXTRA int=2)"),
        ("%z", [1], "%!z(int=1)"),
        ("%", [], "%!(NOVERB)"),
        ("%d", [[1, 2]], "[1 2]"),
        ("%q", [["a", "b"]], '["a" "b"]'),
        ("%s", [None], "%!s(<nil>)"),
    ],
)  # fmt: skip
def test_printf(form: str, values: list[Any], expected: str) -> None:
    names = [f"(index .v {n})" for n in range(len(values))]
    template = " ".join(["{{printf .f", *names]) + "}}"
    assert render(template, {"f": form, "v": values}) == expected


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{", "line 1, column 1: unclosed action"),
        ("a\n {{.X", "line 2, column 2: unclosed action"),
        ("{{}}", "missing value for command"),
        ("{{if}}x{{end}}", "missing value for if"),
        ("{{if 1}}x", "{{if}} has no {{end}}"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{else}}", "unexpected {{else}}"),
        ("{{if 1}}{{else}}{{else}}{{end}}", "expected end; found {{else}}"),
        ("{{range 3}}{{else range 3}}{{end}}", 'unexpected "range"'),
        ("{{nope 1}}", 'function "nope" not defined'),
        ("{{$x}}", 'undefined variable "$x"'),
        ("{{if 1}}{{$x := 1}}{{end}}{{$x}}", 'undefined variable "$x"'),
        ("{{$x = 1}}", 'undefined variable "$x"'),
        ("{{$a, $b := .X}}", "too many declarations"),
        ("{{range $a, $b, $c := .X}}{{end}}", "too many declarations"),
        ("{{print 1 | 2}}", "non executable command in pipeline stage 2"),
        ("{{1 | }}", "missing value for command"),
        ("{{(print 1}}", "unclosed left paren"),
        ("{{print 1)}}", 'unexpected ")"'),
        ('{{"abc}}', "unterminated quoted string"),
        ("{{`abc}}", "unterminated raw quoted string"),
        ('{{"\\q"}}', "invalid syntax"),
        ("{{'ab'}}", "malformed character constant"),
        ("{{1x}}", 'bad number syntax: "1x"'),
        ("{{99999999999999999999}}", "integer overflow"),
        ("{{/* x}}", "unclosed comment"),
        ("{{/* x */ y}}", "comment ends before closing delimiter"),
        ("{{.A!}}", 'bad character "!"'),
        ("{{#}}", 'unexpected character "#"'),
        ("{{nil}}", "nil is not a command"),
        ("{{nil.x}}", 'unexpected ".x" after term'),
        ("{{break}}", "{{break}} outside {{range}}"),
        ('{{template "x"}}', 'template "x" not defined'),
        ('{{define "x"}}{{template "x"}}{{end}}{{template "x"}}', "maximum template depth"),
        ("{{if 1}}{{define `x`}}{{end}}{{end}}", "{{define}} within another block"),
        ("{{.Name.x}}", "can't evaluate field x in type string"),
        ("{{.S.C}}", "can't evaluate field C: the fields are A, B"),
        ("{{.Name 1}}", '"Name" has arguments but is no function'),
        ("{{3 4}}", "can't give argument to non-function"),
        ("{{len 3}}", "error calling len: len of type int"),
        ("{{len}}", "wrong number of args for len: got 0"),
        ("{{and}}", "wrong number of args for and: got 0"),
        ("{{index .SI 9}}", "index out of range: 9"),
        ("{{index .SI `a`}}", "cannot index slice/array with type string"),
        ("{{index 3 1}}", "can't index item of type int"),
        ("{{index .Null 1}}", "index of untyped nil"),
        ("{{slice .SI 2 1}}", "invalid slice index: 2 > 1"),
        ("{{eq 1 `a`}}", "incompatible types for comparison"),
        ("{{eq 1 1.0}}", "incompatible types for comparison"),
        ("{{eq .M .M}}", "non-comparable type map[string]interface {}"),
        ("{{lt true false}}", "invalid type for comparison"),
        ("{{eq 1}}", "missing argument for comparison"),
        ("{{range .Name}}{{end}}", "range can't iterate over hello world"),
        ("{{join 3 `,`}}", "expected []string; got int"),
        ("{{upper 3}}", "expected string; got int"),
        ("{{" + "(" * 200 + "1" + ")" * 200 + "}}", "nested too deep"),
        ("{{if 1}}" * 200 + "{{end}}" * 200, "nested too deep"),
    ],
)
def test_errors(template: str, reason: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render(template)
    assert reason in caught.value.reason
    assert caught.value.reason.startswith("invalid template, line ")


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 99), st.floats(allow_nan=False), st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
PIECES = st.sampled_from(
    [
        *("{{", "}}", "{{-", "-}}", " ", ".", ".A", ".B.c", "$", "$x", ":=", "=", "|", "(", ")"),
        *("if ", "range ", "with ", "else", "end", "define ", "template ", "block ", "break"),
        *("print ", "printf ", "index ", "len ", "json ", "eq ", "and ", "slice ", "nil", "true"),
        *('"%d %s"', "`x`", "'a'", "1", "-2.5", "0x", "/*", "*/", "text", "\n", '"', "\\", ","),
    ]
)


@given(VALUES)
def test_json_is_that_of_the_data(value: object) -> None:
    assert json.loads(render("{{json .}}", value)) == value


@given(st.text())
def test_text_is_printed_as_it_is(text: str) -> None:
    if "{{" not in text:
        assert render(text) == text
    assert render("{{.}}", text) == text
    assert render("{{printf `%s` .}}{{`a` -}}", text) == f"{text}a"


@given(st.lists(PIECES, max_size=12).map("".join), VALUES)
def test_any_template_gives_text_or_an_error(template: str, value: object) -> None:
    try:
        assert isinstance(render(template, {"A": value, "B": {"c": value}}), str)
    except TemplateError as error:
        assert error.reason.startswith("invalid template, line ")


@given(st.floats())
def test_floats_read_as_they_are(value: float) -> None:
    shown = float(render("{{.}}", value))
    assert shown == value or (shown != shown and value != value)
