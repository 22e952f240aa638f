"""What readers see of documentation comments of real projects, and the summaries that ask for code."""

import pytest

from ray_ft.recipes.chunking.doc_marks import plain_words
from ray_ft.recipes.chunking.summaries import summary_of, told

SEEN = [
    ("Joins by {@code join(\"-\", 1, 2)}, up to {@code 2^64 - 1}.", "java",
     'Joins by join("-", 1, 2), up to 2^64 - 1.'),
    ("Like {@link List#set(int, Object)}, {@link #run} and\n{@linkplain Pump the pump}.", "java",
     "Like List#set(int, Object), run and\nthe pump."),
    ("Builds the maps of all halls so:\n\n<pre>{@code\nstatic { if (a) { b(); } }\n}</pre>", "java",
     "Builds the maps of all halls so:\n\nstatic { if (a) { b(); } }"),
    ("It <i>should</i> see <a\nhref=\"http://bugs/1\">Sun bug 1</a> &amp; wait.", "java",
     "It should see Sun bug 1 & wait."),
    ("Wraps lines in <p> and <b> tags.", "python", "Wraps lines in <p> and <b> tags."),
    ("Stops every pump at once.\n\n@author Ann Li\n@since 2.0\n@param id of the pump", "java",
     "Stops every pump at once.\n\n@param id of the pump"),
    ("Flips it over.\n\n@static\n@memberOf _\n@since 4.0.0\n@category Lang\n@returns {F} the new one", "javascript",
     "Flips it over.\n\n@returns {F} the new one"),
    ("Marks a section as raw.\n\n@internal", "php", "Marks a section as raw."),
    ("@brief Opens the main valve.\n@param id of it", "cpp", "Opens the main valve.\n@param id of it"),
    ("Opens the main valve.\nTODO(ann): close it, too", "cpp", "Opens the main valve."),
    ("Opens a valve. TODO: close it", "cpp", "Opens a valve."),
]  # fmt: skip

SUMMARIES = [
    ("@return an array of the right size with {@code null} as the key of the\n    middle element.\n@throws E never",
     "Returns an array of the right size with null as the key of the middle element."),
    ("@return string The escaped text of it", "Returns the escaped text of it"),
    ("Takes what answers to call. The simplest form of it is this:\n\n    run x", "Takes what answers to call."),
    ("* read behaves like that of files.", "read behaves like that of files."),
]  # fmt: skip

NOTHING = [
    ("@return int", "Node.count"), ("@return TwigTest[]", "Case.tests"), ("@return callable|null", "F.callable"),
    ("@dataProvider getTests\n@group legacy", "Case.testAll"),
    ("CommandPath returns the command's path.", "Command.CommandPath"), ("Return the user key", "LookupKey.user_key"),
    ("HelpTemplate return help template for the command.", "Command.HelpTemplate"),
    ("REQUIRES: mutex_ is held", "DB.MakeRoom"), ("Note that the lock is held here.", "DB.write"),
    ("Related to https://example.org/issues/521.", "TestNames"), ("adapted from: the text package of others", "indent"),
    ("N.B. Unlike others, it must be a Hash.", "Json"), ("... but on Windows it fails.", "error"),
    ("Iterator interface methods", "Iterator.Valid"), ("Methods below require iter() != nullptr", "Iterator.status"),
    ("=== The Content-Type", "Lint.check"), ("Usage:", "run"), ("TODO(ann): write this", "run"),
    ("This method is for internal use only and should never be called.", "Template.new"),
]  # fmt: skip


@pytest.mark.parametrize(("docstring", "language", "seen"), SEEN)
def test_documentation_is_told_as_its_readers_see_it(docstring: str, language: str, seen: str) -> None:
    assert told(docstring, "f", language) == seen


@pytest.mark.parametrize(("docstring", "summary"), SUMMARIES)
def test_a_summary_is_whole_sentences(docstring: str, summary: str) -> None:
    assert summary_of(told(docstring, "f", "java")) == summary


@pytest.mark.parametrize(("docstring", "name"), NOTHING)
def test_what_is_no_description_of_its_definition_is_none(docstring: str, name: str) -> None:
    assert told(docstring, name, "php") == ""


@pytest.mark.parametrize(
    ("docstring", "name"),
    [
        ("CommandPath returns the full path to this command.", "Command.CommandPath"),
        ("SetContext sets the context. A later call of Execute overwrites it.", "Command.SetContext"),
        ("Registers event handlers", "register"),
        ("Gets the name.\n\nIt is made of the city and a number.", "Pump.name"),
    ],
)
def test_more_than_the_name_is_told(docstring: str, name: str) -> None:
    assert told(docstring, name) == docstring


def test_images_and_styles_of_a_paragraph_are_no_words() -> None:
    words = 'Skips items.\n\n<span class="informal">Like filter,\nbut once.</span>\n\n![](skip.png)\n\nMore `![](x)`.'
    assert plain_words(words, "typescript") == "Skips items.\n\nLike filter,\nbut once.\n\nMore `![](x)`."


def test_tags_of_net_are_spelled_as_others_write_them() -> None:
    words = (
        'Opens <see cref="T:Pump" />.\n\n<param name="by">Turns of it.</param>\n<returns>\nThe level.\n</returns>\n'
        '<exception cref="T:System.Dry">No water.</exception>'
    )
    assert plain_words(words, "csharp") == (
        "Opens Pump.\n\n@param by Turns of it.\n@returns The level.\n\n@throws System.Dry No water."
    )
    assert summary_of(plain_words("<returns>The level of all water.</returns>", "csharp")) == (
        "Returns the level of all water."
    )


def test_what_linters_read_is_no_word_in_any_language() -> None:
    for directive in (
        "swiftlint:disable:next name",
        "eslint-disable-next-line no-x",
        "rubocop:disable Metrics",
        "go:generate x",
    ):
        assert plain_words(f"Opens it.\n{directive}", "swift") == "Opens it."
    assert plain_words("Lints files and ignores others.", "go") == "Lints files and ignores others."


def test_parameters_of_swift_are_no_part_of_a_summary() -> None:
    words = "Opens the valve.\n- Parameter by: Turns of it.\n- Returns: The level.\n- Throws: `Dry` without water."
    assert summary_of(words) == "Opens the valve."


def test_a_tag_of_the_codes_place_goes_with_the_lines_that_it_goes_on() -> None:
    words = "Opens it.\n\n@since 11.0 (but the bound was changed\n    in 15.0)\n@param by turns\n    of the valve"
    assert plain_words(words, "java") == "Opens it.\n\n@param by turns\n    of the valve"
