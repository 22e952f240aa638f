"""The licence of a file, as an SPDX identifier: what its header says, else the licence file nearest above it."""

import fnmatch
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from ray_ft.data.documents import SourceFile
from ray_ft.data.sources import read_bytes

UNKNOWN = "unknown"
HEADER = re.compile(r"SPDX-License-Identifier:\s*\(?([A-Za-z0-9.+-]+(?:\s+(?:OR|AND|WITH)\s+[A-Za-z0-9.+-]+)*)")
HEADER_CHARACTERS = 4000
LICENCE_FILE = re.compile(r"^(?:un)?licen[cs]e(?:[._-].*)?$|^copying(?:[._-].*)?$", re.IGNORECASE)
MAX_LICENCE_BYTES = 200_000
PHRASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("AGPL-3.0", ("gnu affero general public license", "version 3")),
    ("LGPL-3.0", ("gnu lesser general public license", "version 3")),
    ("LGPL-2.1", ("gnu lesser general public license", "version 2.1")),
    ("GPL-3.0", ("gnu general public license", "version 3")),
    ("GPL-2.0", ("gnu general public license", "version 2")),
    ("Apache-2.0", ("apache license", "version 2.0")),
    ("MPL-2.0", ("mozilla public license", "2.0")),
    ("EPL-2.0", ("eclipse public license", "2.0")),
    ("CC-BY-NC-4.0", ("creative commons attribution-noncommercial 4.0",)),
    ("CC-BY-SA-4.0", ("creative commons attribution-sharealike 4.0",)),
    ("CC-BY-4.0", ("creative commons attribution 4.0",)),
    ("CC0-1.0", ("cc0 1.0 universal",)),
    ("Unlicense", ("this is free and unencumbered software released into the public domain",)),
    ("PSF-2.0", ("python software foundation license version 2",)),
    ("BSL-1.0", ("boost software license", "version 1.0")),
    ("ISC", ("permission to use, copy, modify, and/or distribute this software for any purpose",)),
    ("MIT", ("permission is hereby granted, free of charge, to any person obtaining a copy",)),
    ("BSD-3-Clause", ("redistribution and use in source and binary forms", "neither the name")),
    ("BSD-2-Clause", ("redistribution and use in source and binary forms",)),
)
"""Words of licences, all of which must stand in the file; the first that fits is taken."""


def folder_licences(files: Iterable[SourceFile]) -> dict[str, str]:
    """Folder -> licence, from the licence files among those listed, whether these are read themselves or not."""
    found: dict[str, str] = {}
    for file in files:
        path = PurePosixPath(file.path)
        if LICENCE_FILE.match(path.name) and file.num_bytes <= MAX_LICENCE_BYTES:
            try:
                text = read_bytes(file.kind, file.location).decode("utf-8", "replace")
            except Exception:  # of archives and stores, whose errors share no base: what is not read tells nothing
                continue
            name = licence_of_text(text)
            if name != UNKNOWN:
                found.setdefault(str(path.parent), name)
    return found


def licence_of_text(text: str) -> str:
    """The licence whose words a licence file holds."""
    plain = " ".join(text.lower().split())
    return next((name for name, phrases in PHRASES if all(phrase in plain for phrase in phrases)), UNKNOWN)


def licence_of_file(path: str, text: str, folders: Mapping[str, str]) -> str:
    """The licence of one file; an expression such as `MIT OR Apache-2.0` stays as it is."""
    if header := HEADER.search(text, 0, HEADER_CHARACTERS):
        return " ".join(header.group(1).split())
    return next((folders[str(above)] for above in PurePosixPath(path).parents if str(above) in folders), UNKNOWN)


def is_allowed(licence: str, allowed: Iterable[str]) -> bool:
    """Whether one of the patterns takes the licence: one side of an OR is enough, both of an AND are needed."""
    patterns = [pattern.lower() for pattern in allowed]

    def takes(name: str) -> bool:
        plain = re.sub(r"-(?:only|or-later)$|\+$", "", name.split(" WITH ")[0].strip().lower())
        return any(fnmatch.fnmatchcase(n, p) for n in (plain, name.strip().lower()) for p in patterns)

    return any(all(takes(part) for part in side.split(" AND ")) for side in licence.split(" OR "))
