"""What redaction finds and what it leaves, on labelled snippets and in code and technical text."""

import pytest

from ray_ft.data.filters.apply import Cleaning, find
from ray_ft.data.filters.assigned import is_secret


def kinds(text: str, *, is_code: bool) -> list[str]:
    return [found.kind for found in find(text, Cleaning(), is_code=is_code)]


def test_precision_and_recall_on_three_hundred_snippets(scripts: None) -> None:
    from bench.data.redaction import measure, snippets

    assert len({snippet.text for snippet in snippets()}) == 300
    assert len({snippet.language for snippet in snippets()}) >= 25
    rates = measure()
    assert rates.precision >= 0.95, rates.wrong
    assert rates.recall >= 0.95, rates.wrong


@pytest.mark.parametrize(
    "text",
    [
        "'secret_ref': 'V1SecretReference', 'tokens': 'list[StorageV1TokenRequest]'",
        "'image_pull_secrets': 'list[V1LocalObjectReference]'",
        'PASSWORD_FIELD = "user_password_2fa"',
        'token_url = "https://login.hall.org/oauth2/v2.0/token"',
        'api_key_header = "X-Api-Key-V2-Header"',
        "private_key: ed25519.Ed25519PrivateKey, format",
        '{"key_sha256": "bb1636883c2707b51c5b7fc26c6927af4430f2e0785a8c7bc886337f919f9edf"}',
        "SECRET_KEY=\nTOKEN_EXPIRY=3600seconds1\n",
        "POWERS = [4503599627370496, 6250000000000000000, 3814697265625000, 5960464477539062]",
        "return POWERS[i] * 4835703278458516",
        "hash = 0xFD87B5F28300CA0E",
        "x = a +12345678901",
        "long seed = 4539578763621486;",
    ],
)
def test_types_names_constants_and_tables_of_numbers_stay(text: str) -> None:
    assert kinds(text, is_code=True) == []


@pytest.mark.parametrize(
    "text",
    [
        "The card of the bench has the serial number 4539578763621486 and the part number 5105-1051-0510-5100.",
        "The epoch in microseconds was 3530111333300000. The IMEI is 490154203237518.",
        "The version is 1.234.567.8901, the ISBN 978-3-16-148410-0, the IP address 192.168.100.200:8080.",
        "The ticket is 555-123-4567 in the old system. The range is 100-200-3000.",
        "The order number 123-45-6789 is shown on the slip.",
        "Bounds are 6011111111111117 and 3566002020360505.",
    ],
)
def test_numbers_that_are_called_something_else_stay(text: str) -> None:
    assert kinds(text, is_code=False) == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('card_number = "4539578763621486"', "CARD_NUMBER"),
        ('charge("4539578763621486")', "CARD_NUMBER"),
        ("pay with 4539 5787 6362 1486", "CARD_NUMBER"),
        ("# call +49 30 1234567", "PHONE"),
        ("api_key: str = 'q8Zr2Lw9Xc4Vb7Nm1Kj6'", "SECRET"),
        ("DB_PASSWORD=q8Zr2Lw9Xc4Vb7Nm\n", "SECRET"),
        ("<password>q8Zr2Lw9Xc4Vb7</password>", "SECRET"),
        ("define('DB_PASSWORD', 'q8Zr2Lw9Xc4Vb7');", "SECRET"),
        ("curl --token q8Zr2Lw9Xc4Vb7Nm1Kj6 x", "SECRET"),
        ("Authorization: Bearer q8Zr2Lw9Xc4Vb7Nm1Kj6", "SECRET"),
        ("Server=db;Password=q8Zr2Lw9Xc4Vb7;Encrypt=true", "SECRET"),
        ("CREATE USER a IDENTIFIED BY 'q8Zr2Lw9Xc4Vb7';", "SECRET"),
        ('password = "Winter2024!Hafen"', "SECRET"),
    ],
)
def test_real_ones_are_found_in_code_all_the_same(text: str, kind: str) -> None:
    assert kinds(text, is_code=True) == [kind]


@pytest.mark.parametrize(
    "value", ["${DB_PASSWORD_1}", "{{ token_2 }}", "<your-token-1>", "changeme-please-12", "a1" * 9]
)
def test_what_stands_for_a_value_is_none(value: str) -> None:
    assert not is_secret(value, is_password=True)
