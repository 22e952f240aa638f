"""What is a definition in each programming language, in the node names of its tree-sitter grammar.

To add a language, install its grammar, describe it here and name its extensions in `FORMATS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Parser

ROLES = (
    "comments", "attributes", "imports", "functions", "classes", "scopes", "values", "wrappers", "inside",
)  # fmt: skip


ERROR = 65535  # number of the nodes that hold what does not parse


@dataclass(frozen=True)
class Grammar:
    """Node types: only those of `inside` and the bodies of `classes` are entered, so that walking a tree is cheap."""

    package: str
    functions: frozenset[str]
    classes: frozenset[str]
    inside: frozenset[str] = frozenset()  # may hold definitions
    scopes: frozenset[str] = frozenset()  # hold definitions that are named after them, as Rust's `impl`
    wrappers: frozenset[str] = frozenset()  # belong to the one definition in them, e.g. with decorators or `export`
    values: frozenset[str] = frozenset()  # may give a name to a function, as assignments and members of objects do
    signatures: frozenset[str] = frozenset()  # headers above the function whose other ways to be called they are
    imports: frozenset[str] = frozenset()
    comments: frozenset[str] = frozenset({"comment"})
    bodies: tuple[str, ...] = ()  # children that hold what a definition does, where no field says so; the first counts
    description: str = ""  # attribute of a block that documents it, as Terraform's
    attributes: frozenset[str] = frozenset()  # stand between a documentation comment and its definition
    gap_below: bool = False  # a blank line may stand below a documentation comment
    docstring_inside: bool = False  # in the body, as in Python; else in the comment above
    function: str = "language"  # of the package, gives the grammar

    @cache  # noqa: B019 - grammars are constants of this module
    def parser(self) -> "Parser":
        """The parser, made once in each process."""
        from tree_sitter import Language, Parser

        return Parser(Language(getattr(import_module(self.package), self.function)()))

    @cache  # noqa: B019
    def roles(self) -> Mapping[int, str]:
        """What nodes are for us, by their number: a name of ROLES, the first that applies; others are passed over."""
        language = self.parser().language
        assert language is not None
        found: dict[int, str] = {}
        for number in range(language.node_kind_count):
            kind = language.node_kind_for_id(number)
            role = next((role for role in ROLES if kind in getattr(self, role)), "")
            if role:
                found[number] = role
        return {**found, ERROR: "inside"}


def _of(words: str) -> frozenset[str]:
    return frozenset(words.split())


JAVASCRIPT = Grammar(
    "tree_sitter_javascript",
    functions=_of("function_declaration generator_function_declaration method_definition"),
    classes=_of("class_declaration"),
    values=_of("variable_declarator expression_statement pair field_definition"),
    inside=_of("class_body statement_block if_statement"),
    wrappers=_of("export_statement lexical_declaration variable_declaration"),
    imports=_of("import_statement"),
    attributes=_of("decorator"),
    gap_below=True,
)
TYPESCRIPT = Grammar(
    "tree_sitter_typescript",
    functions=JAVASCRIPT.functions,
    classes=_of("class_declaration abstract_class_declaration interface_declaration enum_declaration internal_module"),
    values=_of("variable_declarator expression_statement pair public_field_definition"),
    signatures=_of("function_signature method_signature"),
    inside=JAVASCRIPT.inside | {"ambient_declaration"},
    wrappers=JAVASCRIPT.wrappers,
    imports=JAVASCRIPT.imports,
    attributes=JAVASCRIPT.attributes | {"function_signature", "method_signature"},
    gap_below=True,
    function="language_typescript",
)
PREPROCESSOR = "preproc_if preproc_ifdef preproc_else preproc_elif"

GRAMMARS = {
    "python": Grammar(
        "tree_sitter_python",
        functions=_of("function_definition"),
        classes=_of("class_definition"),
        inside=_of("if_statement else_clause elif_clause try_statement except_clause with_statement block"),
        wrappers=_of("decorated_definition"),
        imports=_of("import_statement import_from_statement"),
        docstring_inside=True,
    ),
    "javascript": JAVASCRIPT,
    "typescript": TYPESCRIPT,
    "tsx": Grammar(**{**TYPESCRIPT.__dict__, "function": "language_tsx"}),
    "java": Grammar(
        "tree_sitter_java",
        functions=_of("method_declaration constructor_declaration compact_constructor_declaration"),
        classes=_of(
            "class_declaration interface_declaration enum_declaration record_declaration annotation_type_declaration"
        ),
        inside=_of("enum_body_declarations"),
        imports=_of("import_declaration"),
        comments=_of("line_comment block_comment"),
    ),
    "go": Grammar(
        "tree_sitter_go",
        functions=_of("function_declaration method_declaration"),
        classes=_of("type_spec"),
        wrappers=_of("type_declaration"),
        inside=_of("import_declaration import_spec_list"),
        imports=_of("import_spec"),
    ),
    "c": Grammar(
        "tree_sitter_c",
        functions=_of("function_definition"),
        classes=_of("struct_specifier union_specifier enum_specifier type_definition"),
        inside=_of(f"{PREPROCESSOR} linkage_specification declaration_list"),
        imports=_of("preproc_include"),
    ),
    "cpp": Grammar(
        "tree_sitter_cpp",
        functions=_of("function_definition"),
        classes=_of("class_specifier struct_specifier union_specifier enum_specifier"),
        inside=_of(f"{PREPROCESSOR} linkage_specification declaration_list namespace_definition field_declaration"),
        wrappers=_of("template_declaration"),
        imports=_of("preproc_include using_declaration"),
    ),
    "csharp": Grammar(
        "tree_sitter_c_sharp",
        functions=_of(
            "method_declaration constructor_declaration destructor_declaration operator_declaration "
            "conversion_operator_declaration"
        ),
        classes=_of("class_declaration struct_declaration record_declaration interface_declaration enum_declaration"),
        inside=_of("namespace_declaration file_scoped_namespace_declaration declaration_list preproc_if"),
        imports=_of("using_directive"),
    ),
    "rust": Grammar(
        "tree_sitter_rust",
        functions=_of("function_item"),
        classes=_of("struct_item enum_item trait_item union_item"),
        scopes=_of("impl_item"),
        inside=_of("mod_item declaration_list"),
        imports=_of("use_declaration"),
        comments=_of("line_comment block_comment"),
        attributes=_of("attribute_item"),
    ),
    "ruby": Grammar(
        "tree_sitter_ruby",
        functions=_of("method singleton_method"),
        classes=_of("class module"),
        inside=_of("body_statement singleton_class if"),
    ),
    "php": Grammar(
        "tree_sitter_php",
        functions=_of("function_definition method_declaration"),
        classes=_of("class_declaration interface_declaration trait_declaration enum_declaration"),
        inside=_of("namespace_definition compound_statement declaration_list if_statement"),
        imports=_of("namespace_use_declaration"),
        attributes=_of("attribute_list"),
        function="language_php",
    ),
    "kotlin": Grammar(
        "tree_sitter_kotlin",
        functions=_of("function_declaration secondary_constructor property_declaration"),
        classes=_of("class_declaration object_declaration companion_object"),
        bodies=("class_body", "enum_class_body", "function_body", "block", "getter", "primary_constructor"),
        imports=_of("import"),
        comments=_of("line_comment block_comment"),
    ),
    "swift": Grammar(
        "tree_sitter_swift",
        functions=_of(
            "function_declaration init_declaration deinit_declaration subscript_declaration property_declaration"
        ),
        classes=_of("class_declaration protocol_declaration"),
        bodies=("computed_property",),
        imports=_of("import_declaration"),
        comments=_of("comment multiline_comment"),
    ),
    "scala": Grammar(
        "tree_sitter_scala",
        functions=_of("function_definition"),
        classes=_of("class_definition object_definition trait_definition enum_definition package_object"),
        inside=_of("package_clause template_body extension_definition given_definition with_template_body block"),
        bodies=("class_parameters",),
        imports=_of("import_declaration"),
        comments=_of("comment block_comment"),
    ),
    "lua": Grammar(
        "tree_sitter_lua",
        functions=_of("function_declaration"),
        classes=frozenset(),
        values=_of("variable_declaration assignment_statement function_call field"),
        inside=_of("do_statement if_statement block"),
    ),
    "terraform": Grammar(
        "tree_sitter_hcl",
        functions=_of("block"),
        classes=frozenset(),
        inside=_of("body"),
        bodies=("body", "block_start"),
        description="description",
    ),
    "bash": Grammar("tree_sitter_bash", functions=_of("function_definition"), classes=frozenset()),
}

TAGS = {
    "py": "python", "python3": "python", "js": "javascript", "jsx": "javascript", "node": "javascript",
    "ts": "typescript", "golang": "go", "h": "c", "c++": "cpp", "cc": "cpp", "cxx": "cpp", "hpp": "cpp", "c#": "csharp",
    "cs": "csharp", "rs": "rust", "rb": "ruby", "sh": "bash", "shell": "bash", "zsh": "bash",
    "kt": "kotlin", "kts": "kotlin", "sc": "scala", "hcl": "terraform", "tf": "terraform",
}  # fmt: skip
"""What a fence calls a language that its grammar is not called."""


def language_named(name: str) -> str:
    """The language of GRAMMARS that a fence or a user calls so; "" for none."""
    low = name.strip().lower()
    low = TAGS.get(low, low)
    return low if low in GRAMMARS else ""
