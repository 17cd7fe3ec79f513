"""Texts from users made harmless in each format that a table is written in."""

import re
import unicodedata

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|~&$])")
_MARKDOWN_BLOCK = re.compile(r"^(\s*)([#+\-=]|\d+(?=[.)]))")
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",  # \textquotedbl exists only in some font encodings
    "≥": r"$\geq$",
    "°": r"$^{\circ}$",
}
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0")


def printable(text: str) -> str:
    """Return the text on one line, without what steers a terminal or cannot be encoded."""
    return "".join(
        " " if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") else character for character in text
    )


def markdown(text: str) -> str:
    """Return the text with everything escaped that Markdown or HTML in it would act on."""
    inline = _MARKDOWN.sub(r"\\\1", printable(text))
    return _MARKDOWN_BLOCK.sub(lambda match: f"{match[1]}&#{ord(match[2][0])};{match[2][1:]}", inline)


def latex(text: str) -> str:
    """Return the text with everything escaped that LaTeX would act on."""
    return "".join(_LATEX.get(character, character) for character in printable(text))


def csv_text(text: str) -> str:
    """Return the text so that no spreadsheet takes it for a formula: a leading apostrophe where it looks like one."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
