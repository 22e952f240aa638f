"""Docstrings that say something, and those that only point elsewhere, are to be written, or repeat a name."""

import pytest

from ray_ft.recipes.chunking.summaries import summary_of, told

NOTHING = [
    ("{@inheritDoc}", "toString"), ("<inheritdoc/>", "Dispose"), ('<inheritdoc cref="IPump"/>', "Dispose"),
    ("@inheritdoc", "run"), ("@inheritDoc\n@param x y", "run"), ("See base class.", "run"), ("See base", "run"),
    ("See `Pump.run`.", "run"), ("See :meth:`Pump.run`", "run"), ("See #run.", "run"), ("See above.", "run"),
    ("(non-Javadoc)\n@see java.lang.Object#toString()", "toString"), ("@see Object#toString", "toString"),
    ("Overrides the base method.", "run"), ("Inherited from Pump.", "run"), ("Inherited.", "run"),
    ("Implements IDisposable.Dispose.", "Dispose"), ("Refer to the parent class.", "run"), ("Inherit docs", "run"),
    ("TODO", "run"), ("TODO: write docs", "run"), ("FIXME", "run"), ("XXX: document me", "run"), ("...", "run"),
    ("Docstring", "run"), ("No description provided", "run"), ("Missing docstring.", "run"), ("_summary_", "run"),
    ("Add docstring here.", "run"), ("Auto-generated method stub", "run"), ("[summary]", "run"),
    ("Description of run.", "run"), ("Constructor.", "Pump.Pump"), ("# noqa: E501", "run"), ("@override", "run"),
    ("to_dict", "Pump.to_dict"), ("toDict()", "Pump.toDict"), ("The getName method.", "getName"),
    ("we don't inject the module, or visitors would see it twice", "Node.add"),
    ("Private since only Unref() deletes.", "f"),
    ("Unlike on Unix, ports are not shared here.", "bind"), ("The buffers must remain valid until the end.", "write"),
    ("Only call this from the loop's thread.", "spin"), ("This function is safe to call from a handler.", "reset"),
    ("Windows won't let you open a folder.", "poll"), ("Regression test for issue #909", "spawn"),
    ("Setting it to inactive is the equivalent of a reset.", "is_active"),
    ("Called from the loop when complete.", "done"),
    ("No longer used.", "f"), ("The unwrap is part of it, so we should keep that.", "f"),
    ("The following text is boilerplate.", "Env.read"),
    ("Methods for colours were taken from another library.", "paint"),
    ("Can't use the list's own since it is too new.", "last"),
    ("Split out so that no thread refers to it.", "build"), ("Temporary workaround for a bug of the library.", "f"),
    ("Accessors/mutators for links. Wrapped for barriers.", "Node.next"),
    ("No-barrier variants that are safe here.", "f"),
    ("A client of the socket.", "Client.__init__"), ("The pump of a hall.", "Pump.Pump"), ("Usage: apop name", "apop"),
    ("{@inheritDoc}\n\nThe list cannot be changed.", "removeAll"),
    ("@return array<string, array{a: int, b: B}>", "all"),
    ("get name", "getName"), ("pump.run", "Pump.run"), ("V1Pump - ", "V1Pump"), ("", "run"),
]  # fmt: skip

SOMETHING = [
    ("Starts the pump.", "start", "Starts the pump."),
    ("Creates a pump.", "Pump.Pump", "Creates a pump."),
    ("Gets the name.  # noqa: E501\n\nMore.", "name", "Gets the name."),
    ("{@inheritDoc}\n\nStops the pump, too.", "close", "Stops the pump, too."),
    ("Returns the {@code name} of {@link Pump#id}.", "name", "Returns the name of Pump#id."),
    ('Opens <see cref="T:Pump"/> by <c>id</c>.', "open", "Opens Pump by id."),
    ("Reads hours.\n@param {string} path of\n  the counter\n@returns {number} hours", "read", "Reads hours."),
    ("@return the name of the pump", "getName", "Returns the name of the pump"),
    (":returns: the hours left", "hours", "Returns the hours left"),
    ("See whether the pump runs, and stop it when it is too hot for the men in the hall.", "f",
     "See whether the pump runs, and stop it when it is too hot for the men in the hall."),
    ("Implements the handshake that the second version of the protocol asks for.", "shake",
     "Implements the handshake that the second version of the protocol asks for."),
    ("Override the hours of a pump.", "set", "Override the hours of a pump."),
    ("Todos of the user.", "todos", "Todos of the user."),
    ("Usage: apop name {n}\n\nRemoves the last element.", "apop", "Removes the last element."),
    ("scale (whole, fraction)\n\nMoves the point.", "_scale", "Moves the point."),
    (":docstring apop:\nUsage: apop name\n\nRemoves the last one.\n:end docstring:", "apop", "Removes the last one."),
    (":return: True if the pump runs, else False", "run", "Returns true if the pump runs, else False"),
    ("@return array<string, array{a: int, b: B}> The pumps by hall", "all", "Returns the pumps by hall"),
    ("Creates a client of the socket.", "Client.__init__", "Creates a client of the socket."),
    ("Internet address of the pump.", "address", "Internet address of the pump."),
    ("Called when a client comes, to greet it with its name.", "f",
     "Called when a client comes, to greet it with its name."),
    ("Checking that a pump is open.", "test_open_pump", "Checking that a pump is open."),
    ("This function is like `keys` except that it sorts.", "f", "This function is like `keys` except that it sorts."),
    ("Returns a list that must be sorted.", "f", "Returns a list that must be sorted."),
    ("Waits while :meth:`~pump.Pump.run` gives :const:`None`.", "f", "Waits while `run` gives `None`."),
    ("Opens :ref:`the valve <valve>`, a :py:class:`pump.Valve`.", "f", "Opens `the valve`, a `pump.Valve`."),
    ("Main loop of the pump.", "main", "Main loop of the pump."),
    ("Startet die Pumpe.", "start", "Startet die Pumpe."),
    ("ポンプを始動する。", "start", "ポンプを始動する。"),
]  # fmt: skip


@pytest.mark.parametrize(("docstring", "name"), NOTHING)
def test_a_docstring_that_says_nothing_is_none(docstring: str, name: str) -> None:
    assert told(docstring, name) == ""


@pytest.mark.parametrize(("docstring", "name", "summary"), SOMETHING)
def test_a_docstring_that_says_something_is_told_without_marks(docstring: str, name: str, summary: str) -> None:
    language = "bash" if docstring.startswith(":docstring") else ""
    assert summary_of(told(docstring, name, language)) == summary


def test_a_class_of_several_helpers_may_say_so() -> None:
    words = "Helpers for the pumps of a hall."
    assert told(words, "PumpHelpers", is_class=True) == words
    assert told(words, "open_valve") == ""
