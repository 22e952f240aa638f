"""Functions that JavaScript and TypeScript files define by giving a value, and what documents them."""

import pytest

from ray_ft.data.formats.code import parse_code


def found_in(text: str, language: str = "javascript") -> list[tuple[str, str, str]]:
    return [(d.kind, d.name, d.docstring) for d in parse_code(text, language=language).definitions]


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("exports.run = function (path) { go(path); };", "function", "run"),
        ("module.exports.run = async (path) => go(path);", "function", "run"),
        ("exports['run'] = function () { go(); };", "function", "run"),
        ("exports.run = exports.go = function () { stop(); };", "function", "run"),
        ("module.exports = function run(a) { return a; };", "function", "run"),
        ("module.exports = function (a) { return a; };", "function", "exports"),
        ("Pump.prototype.run = function (n) { this.n = n; };", "method", "Pump.run"),
        ("Pump.of = (n) => new Pump(n);", "method", "Pump.of"),
        ("this.run = function () { go(); };", "function", "run"),
        ("window.run = function () { go(); };", "function", "run"),
        ("module.exports = { run() { go(); } };", "function", "run"),
        ("module.exports = { run: function () { go(); } };", "function", "run"),
        ("module.exports = { 'run': () => go() };", "function", "run"),
        ("exports.pumps = { run: () => go() };", "method", "pumps.run"),
        ("export default { methods: { run() { go(); } } };", "method", "methods.run"),
        ("const pumps = { run: async () => go() };", "method", "pumps.run"),
        ("Pump.prototype = { run: function () { go(); } };", "method", "Pump.run"),
        ("Object.assign(Pump.prototype, { run() { go(); } });", "method", "Pump.run"),
        ("_.extend(Pump.prototype, { run() { go(); } });", "method", "Pump.run"),
        ("Object.defineProperty(Pump.prototype, 'run', function () { go(); });", "method", "Pump.run"),
        ("(function () { function run() { go(); } }());", "function", "run"),
        (";(function () { function run() { go(); } }.call(this));", "function", "run"),
        ("(() => { const run = () => go(); })();", "function", "run"),
        ("define(['a'], function (a) { function run() { a(); } return run; });", "function", "run"),
        ("(function (r, f) { r.x = f(); })(this, function () { function run() { go(); } });", "function", "run"),
        ("const pumps = (function () { function run() { go(); } return { run }; })();", "method", "pumps.run"),
        ("const run = debounce((a) => go(a), 10);", "function", "run"),
        ("const run = _.once(function () { go(); });", "function", "run"),
        ("export const Run = memo(({ a }) => go(a));", "function", "Run"),
        ("export const Run = React.memo(React.forwardRef((p, ref) => go(p)));", "function", "Run"),
        ("export const Run = withRouter(function Inner(p) { return go(p); });", "function", "Run"),
        ("const Run = connect(state)(({ a }) => go(a));", "function", "Run"),
        ("const Run = styled((p) => go(p));", "function", "Run"),
        ("export default memo(function Run() { return go(); });", "function", "Run"),
        ("export default (a) => go(a);", "function", "default"),
        ("exports.Run = class { };", "class", "Run"),
        ("export default class { }", "class", "default"),
    ],
)
def test_a_function_is_called_as_its_users_call_it(text: str, kind: str, name: str) -> None:
    assert found_in(f"/** Runs. */\n{text}\n")[0][:2] == (kind, name)


@pytest.mark.parametrize(
    "text",
    [
        "const n = list.map((x) => x * 2);",
        "const timer = setTimeout(() => { go(); }, 5);",
        "const Page = React.lazy(() => import('./page'));",
        "list[i] = function () { go(); };",
        "describe('pump', () => { it('runs', () => { go(); }); });",
        "const { a, b } = (() => go())();",
        "app.listen(80, () => console.log('up'));",
        "x = 1;",
    ],
)
def test_what_is_only_given_to_another_function_is_no_definition(text: str) -> None:
    assert found_in(text) == []


def test_members_have_the_comments_above_them_and_their_classes() -> None:
    text = (
        "class Valve {\n  #n = 0;\n  /** Opens it. */\n  open = () => { this.#n = 1; };\n  /** Makes one. */\n"
        "  static of = function (n) { return new Valve(n); };\n}\n"
        "module.exports = {\n  /** Stops all. */\n  stopAll() { return 1; },\n  /** Counts. */\n  count: () => 2,\n};\n"
        "exports.Tank = class {\n  /** Fills. */\n  fill() { return 1; }\n};\n"
    )
    assert found_in(text) == [
        ("class", "Valve", ""),
        ("method", "Valve.open", "Opens it."),
        ("method", "Valve.of", "Makes one."),
        ("function", "stopAll", "Stops all."),
        ("function", "count", "Counts."),
        ("class", "Tank", ""),
        ("method", "Tank.fill", "Fills."),
    ]


def test_the_text_of_a_member_is_the_member_alone() -> None:
    text = "module.exports = {\n  /** Counts. */\n  count: () => 2,\n  other: 1,\n};\n"
    (count,) = parse_code(text, language="javascript").definitions
    assert text[count.start : count.end] == "  /** Counts. */\n  count: () => 2"


@pytest.mark.parametrize(
    ("text", "docstring"),
    [
        ("/** Finds. */\nexport function f(a: number): string;\nexport function f(a: string): string;\n"
         "export function f(a: any) { return g(a); }\n", "Finds."),
        ("/** Finds. */\nfunction f(a: number): string;\nfunction f(a: any) { return g(a); }\n", "Finds."),
        ("/** Other. */\nfunction h(a: number): string;\nfunction f(a: any) { return g(a); }\n", ""),
        ("/** Old. */\nfunction f(a: number): string;\n/** Newer. */\nfunction f(a: any) { return g(a); }\n",
         "Old.\nNewer."),
    ],
)  # fmt: skip
def test_the_comment_of_an_overload_stands_above_its_first_signature(text: str, docstring: str) -> None:
    assert found_in(text, "typescript") == [("function", "f", docstring)]


def test_overloads_of_methods_casts_and_namespaces() -> None:
    text = (
        "class A {\n  /** Runs. */\n  run(a: number): void;\n  run(a: any) { go(a); }\n"
        "  /** Opens. */\n  private open = (): void => { go(1); };\n}\n"
        "const f = ((a: number) => go(a)) as Handler;\n"
        "namespace Tools {\n  /** Trims. */\n  export function trim(a: string) { return a.trim(); }\n}\n"
    )
    assert found_in(text, "typescript") == found_in(text, "tsx").copy()
    assert found_in(text, "typescript") == [
        ("class", "A", ""),
        ("method", "A.run", "Runs."),
        ("method", "A.open", "Opens."),
        ("function", "f", ""),
        ("class", "Tools", ""),
        ("method", "Tools.trim", "Trims."),
    ]


def test_deep_objects_and_calls_end() -> None:
    deep = "const a = " + "{ b: " * 300 + "() => 1" + " }" * 300 + ";\n"
    assert found_in(deep) == []
    assert found_in("const A = " + "memo(" * 300 + "() => 1" + ")" * 300 + ";\n") == []
