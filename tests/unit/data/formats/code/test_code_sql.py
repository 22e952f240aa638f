"""SQL: where statements of four dialects end, and what documents them."""

import random

import pytest

from ray_ft.data.formats import FORMATS
from ray_ft.data.formats.code import parse_sql

POSTGRES = """-- Copyright 2020 Sea Inc. All rights reserved.

/* Cars that
 * have a booking. */
CREATE TABLE IF NOT EXISTS sea.cars (
  id BIGSERIAL PRIMARY KEY,
  name TEXT NOT NULL DEFAULT 'x;y' -- create table no
);
COMMENT ON TABLE sea.cars IS 'What''s on board.';

-- Counts seats.
CREATE OR REPLACE FUNCTION sea.seats(p INT, OUT n INT)
RETURNS INT AS $body$
BEGIN
  IF p IS NULL THEN RAISE EXCEPTION 'no; ferry'; END IF;
  RETURN n;
END;
$body$ LANGUAGE plpgsql;

CREATE FUNCTION one() RETURNS int LANGUAGE sql RETURN CASE WHEN true THEN 1 END;
CREATE FUNCTION two() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END;
CREATE VIEW "Sea"."free seats" AS
SELECT id, CASE WHEN id > 1 THEN 1 END AS n FROM sea.cars;
CREATE TRIGGER t BEFORE INSERT ON sea.cars FOR EACH ROW EXECUTE FUNCTION sea.f();
INSERT INTO sea.cars VALUES (1, 'create table b (x int);');
"""
SERVER = """USE [Ferry]
GO
-- =============================================
-- Author:      Somebody
-- Description: Boards a car.
-- =============================================
CREATE PROCEDURE [dbo].[Board]
    @car INT = 0
AS
BEGIN TRAN
    SELECT TOP 1 * FROM [dbo].[Cars];
    CREATE TABLE #t (x INT);
COMMIT
GO
CREATE TABLE [dbo].[Cars]([id] [int] NOT NULL) ON [PRIMARY]
GO
"""
MYSQL = """CREATE TABLE `cars` (
  `id` int NOT NULL COMMENT 'key',
  `it` varchar(9) DEFAULT 'it\\'s;'
) ENGINE=InnoDB COMMENT='Cars on board';
DELIMITER $$
# no
CREATE DEFINER=`root`@`localhost` PROCEDURE `board`(IN p INT)
BEGIN
  WHILE p > 0 DO SET p = p - 1; END WHILE;
END$$
DELIMITER ;
CREATE OR REPLACE VIEW v AS SELECT 1;
"""
ORACLE = """CREATE OR REPLACE PACKAGE BODY ferry AS
  PROCEDURE later(p IN NUMBER);
  -- Seats left.
  FUNCTION seats(p IN NUMBER) RETURN NUMBER IS
    n NUMBER := 0;
  BEGIN
    FOR i IN 1..p LOOP n := n + 1; END LOOP;
    RETURN n;
  END seats;
END ferry;
/
CREATE TYPE mood AS OBJECT (x NUMBER);
/
"""
EXPECTED = {
    "postgres": (
        POSTGRES,
        [
            (
                "table",
                "sea.cars",
                "CREATE TABLE IF NOT EXISTS sea.cars",
                "Cars that\nhave a booking.\n\nWhat's on board.",
            ),
            (
                "function",
                "sea.seats",
                "CREATE OR REPLACE FUNCTION sea.seats(p INT, OUT n INT) RETURNS INT",
                "Counts seats.",
            ),
            ("function", "one", "CREATE FUNCTION one() RETURNS int LANGUAGE sql", ""),
            ("function", "two", "CREATE FUNCTION two() RETURNS int LANGUAGE sql", ""),
            ("view", "Sea.free seats", 'CREATE VIEW "Sea"."free seats"', ""),
            (
                "trigger",
                "t",
                "CREATE TRIGGER t BEFORE INSERT ON sea.cars FOR EACH ROW EXECUTE FUNCTION sea.f()",
                "",
            ),
        ],
        ["\n);", "LANGUAGE plpgsql;", "1 END;", "SELECT 2; END;", "sea.cars;", "sea.f();"],
    ),
    "sql server": (
        SERVER,
        [
            ("procedure", "dbo.Board", "CREATE PROCEDURE [dbo].[Board] @car INT = 0", "Description: Boards a car."),
            ("table", "dbo.Cars", "CREATE TABLE [dbo].[Cars]", ""),
        ],
        ["COMMIT", "[PRIMARY]"],
    ),
    "mysql": (
        MYSQL,
        [
            ("table", "cars", "CREATE TABLE `cars`", "Cars on board"),
            ("procedure", "board", "CREATE DEFINER=`root`@`localhost` PROCEDURE `board`(IN p INT)", ""),
            ("view", "v", "CREATE OR REPLACE VIEW v", ""),
        ],
        ["on board';", "END", "SELECT 1;"],
    ),
    "oracle": (
        ORACLE,
        [
            ("package", "ferry", "CREATE OR REPLACE PACKAGE BODY ferry", ""),
            ("function", "ferry.seats", "FUNCTION seats(p IN NUMBER) RETURN NUMBER", "Seats left."),
            ("type", "mood", "CREATE TYPE mood", ""),
        ],
        ["END ferry;", "END seats;", "NUMBER);"],
    ),
}


@pytest.mark.parametrize("dialect", EXPECTED)
def test_statements_end_where_their_dialect_ends_them(dialect: str) -> None:
    text, expected, ends = EXPECTED[dialect]
    parsed = parse_sql(text)
    assert [(d.kind, d.name, d.signature, d.docstring) for d in parsed.definitions] == expected
    assert all(text[: d.end].endswith(end) for d, end in zip(parsed.definitions, ends, strict=True))
    assert all(text.count("\n", 0, d.end) + 1 == d.line_end for d in parsed.definitions)


def test_a_licence_is_neither_content_nor_the_first_tables_documentation() -> None:
    text = "-- Copyright 2020 Sea Inc. All rights reserved.\nCREATE TABLE a (b INT);\n"
    parsed = parse_sql(text)
    assert [b.text for b in parsed.blocks] == ["CREATE TABLE a (b INT);"]
    assert parsed.definitions[0].docstring == ""


def test_everything_that_is_defined_is_a_block_of_its_own_with_its_comment() -> None:
    assert FORMATS[".sql"].parse is parse_sql
    blocks = [b.text for b in parse_sql(POSTGRES).blocks]
    assert blocks[0].startswith("/* Cars that")
    assert blocks[1].startswith("COMMENT ON TABLE")
    assert blocks[2].startswith("-- Counts seats.\nCREATE OR REPLACE FUNCTION")


@pytest.mark.parametrize("dialect", EXPECTED)
def test_places_hold_in_damaged_text(dialect: str) -> None:
    rng = random.Random(0)
    for _ in range(200):
        text = list(EXPECTED[dialect][0])
        for _ in range(rng.randrange(1, 10)):
            i = rng.randrange(len(text))
            text[i] = rng.choice(
                ["", "\n", "é", "'", '"', "$$", "(", ";", "/*", "\nGO\n", "BEGIN ", "END;", text[i] * 3]
            )
        parsed = parse_sql("".join(text))
        position = 0
        for block in parsed.blocks:
            assert block.text == parsed.text[block.start : block.end]
            assert position <= block.start < block.end
            position = block.end
        for d in parsed.definitions:
            assert 0 <= d.start <= d.head_start <= d.body_start <= d.end <= len(parsed.text)


def test_a_thousand_open_quotes_take_no_time() -> None:
    for text in ("$a$ " * 20_000, "$" + "$ $".join(map(str, range(20_000))), "create table " * 20_000, "'" * 50_001):
        assert len(parse_sql(text).definitions) <= 1
