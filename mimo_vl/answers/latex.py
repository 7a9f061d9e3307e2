r"""One spelling for LaTeX that means the same: `\dfrac`, `\left(`, `sqrt(2)`, full-width digits, `2π`, `2*pi`."""

from __future__ import annotations

import re

from mimo_vl.answers.characters import to_half_width

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SUPERSCRIPT_RUN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+")
_SYMBOLS = {
    "π": r"\pi ", "∞": r"\infty ", "×": r"\times ", "·": r"\cdot ", "÷": "/", "±": r"\pm ", "≤": r"\le ",
    "≥": r"\ge ", "≠": r"\ne ", "∪": r"\cup ", "½": r"\frac{1}{2}", "⅓": r"\frac{1}{3}", "¼": r"\frac{1}{4}",
    "¾": r"\frac{3}{4}", "°": r"^\circ ",
}  # fmt: skip
_DROPPED = re.compile(r"\\(?:left|right|big|Big|bigl|bigr|displaystyle|limits)(?![a-zA-Z])\.?|\\[!,;: ]|\$|~")
_RENAMED = (
    (re.compile(r"\\[dtc]frac(?![a-zA-Z])"), r"\\frac"),
    (re.compile(r"\\(?:leq|leqslant)(?![a-zA-Z])"), r"\\le"),
    (re.compile(r"\\(?:geq|geqslant)(?![a-zA-Z])"), r"\\ge"),
    (re.compile(r"\\neq(?![a-zA-Z])"), r"\\ne"),
    (re.compile(r"(?<![\\a-zA-Z])pi(?![a-zA-Z])"), r"\\pi "),
    (re.compile(r"(?<![\\a-zA-Z])sqrt"), r"\\sqrt"),
    (re.compile(r"(?<![\\a-zA-Z])(sin|cos|tan|ln|log|exp)(?![a-zA-Z])"), r"\\\1 "),
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"\^\{\\circ\}"), r"^\\circ "),
    # \frac12 and \sqrt2 without braces.
    (re.compile(r"\\frac\s*(\d)\s*(\d)"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\frac\s*(\d)\s*\{"), r"\\frac{\1}{"),
    (re.compile(r"\\sqrt\s*(\d)"), r"\\sqrt{\1}"),
    (re.compile(r"(?<=\d)\{,\}(?=\d{3})"), ","),
)
_SPACE = re.compile(r"(?<!\d) | (?!\d)|(?<=\d) (?=\d{3}(?!\d))")
_TEXT_COMMAND = re.compile(r"\\(?:text|mathrm|mathbf|mbox|textbf|operatorname)\s*\{([^{}]*)\}")
_FUNCTION_WITH_PARENTHESIS = re.compile(r"\\sqrt\s*\(")


def normalise_latex(text: str) -> str:
    """Equal spellings become equal strings; text commands keep their content, spaces around it included."""
    result = _SUPERSCRIPT_RUN.sub(lambda m: "^{" + m[0].translate(_SUPERSCRIPTS) + "}", text)
    result = to_half_width(result)
    for symbol, latex in _SYMBOLS.items():
        result = result.replace(symbol, latex)
    result = _DROPPED.sub(" ", result)
    result = _TEXT_COMMAND.sub(r" \1 ", result)
    for pattern, replacement in _RENAMED:
        result = pattern.sub(replacement, result)
    result = _brace_roots(result)
    return re.sub(r"\s+", " ", result).strip().rstrip(".").strip()


def squeezed(text: str) -> str:
    """Without spaces, for comparison only. `1 234` is grouped thousands; the space in `3 5` stays: that is not 35."""
    return _SPACE.sub("", text)


def _brace_roots(text: str) -> str:
    r"""`\sqrt(2)` becomes `\sqrt{2}`: the parser would read it as 2 after an empty root."""
    while match := _FUNCTION_WITH_PARENTHESIS.search(text):
        start, depth, end = match.end(), 1, match.end()
        while end < len(text) and depth:
            depth += (text[end] == "(") - (text[end] == ")")
            end += 1
        if depth:
            return text
        text = text[: match.start()] + r"\sqrt{" + text[start : end - 1] + "}" + text[end:]
    return text


def split_top_level(text: str, separator: str = ",") -> list[str]:
    """Parts at depth 0 of (), [], {}: `(1,2),3` gives two."""
    parts, depth, current = [], 0, ""
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == separator and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += character
    return [*parts, current.strip()]
