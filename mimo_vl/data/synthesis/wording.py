"""In which words the tiny tasks are put: one to three variants per task and language, all short."""

from __future__ import annotations

import numpy as np

from mimo_vl.vocabulary import Language

COLOUR_NAMES: dict[Language, dict[str, str]] = {
    Language.EN: {c: c for c in ("black", "red", "green", "blue", "purple")} | {"photo": "a photo"},
    Language.ZH: {"black": "黑色", "red": "红色", "green": "绿色", "blue": "蓝色", "purple": "紫色", "photo": "照片"},
}

_PROMPTS: dict[str, dict[Language, tuple[str, ...]]] = {
    "read": {Language.EN: ("Read the digits.",), Language.ZH: ("读出数字。",)},
    "caption": {Language.EN: ("Describe the picture.",), Language.ZH: ("描述图片。",)},
    "count": {
        Language.EN: (r"How many digits are there? Answer in \boxed{}.",),
        Language.ZH: (r"有几个数字？答案放在\boxed{}中。",),
    },
    "box": {Language.EN: ("Locate the digit {label} with a box.",), Language.ZH: ("用框标出数字{label}。",)},
    "point": {Language.EN: ("Point to the digit {label}.",), Language.ZH: ("用点标出数字{label}。",)},
    "sum": {
        Language.EN: (r"What is the sum of the digits? Answer in \boxed{}.",),
        Language.ZH: (r"数字的和是多少？答案放在\boxed{}中。",),
    },
    "difference": {
        Language.EN: (r"What is the larger digit minus the smaller? Answer in \boxed{}.",),
        Language.ZH: (r"大数减小数是多少？答案放在\boxed{}中。",),
    },
    "compute": {
        Language.EN: (r"What is {problem}? Answer in \boxed{}.", r"Compute {problem}. Answer in \boxed{}."),
        Language.ZH: (r"{problem}是多少？答案放在\boxed{}中。", r"计算{problem}。答案放在\boxed{}中。"),
    },
    "when": {
        Language.EN: (r"When is the digit visible? Answer [mm:ss, mm:ss] in \boxed{}.",),
        Language.ZH: (r"数字何时可见？把[mm:ss, mm:ss]放在\boxed{}中。",),
    },
    "which": {Language.EN: ("Which digit appears?",), Language.ZH: ("出现了哪个数字？",)},
    "events": {Language.EN: ("Describe the events.",), Language.ZH: ("描述事件。",)},
    "is_there": {Language.EN: ("Is there a {label}?",), Language.ZH: ("有数字{label}吗？",)},
    "colour": {Language.EN: ("What is the background?",), Language.ZH: ("背景是什么？",)},
    "left": {Language.EN: ("Which digit is on the left?",), Language.ZH: ("左边是哪个数字？",)},
    "right": {Language.EN: ("Which digit is on the right?",), Language.ZH: ("右边是哪个数字？",)},
    "first_picture": {Language.EN: ("Which digit is in the first picture?",), Language.ZH: ("第一张图是哪个数字？",)},
    "second_picture": {Language.EN: ("Which digit is in the second picture?",), Language.ZH: ("第二张图是哪个数字？",)},
    "both_pictures": {Language.EN: ("Describe both pictures.",), Language.ZH: ("描述两张图。",)},
    "repeat": {Language.EN: ("Repeat {digits}.",), Language.ZH: ("重复{digits}。",)},
    "reverse": {Language.EN: ("Reverse {digits}.",), Language.ZH: ("倒写{digits}。",)},
    "largest": {Language.EN: ("Largest of {digits}?",), Language.ZH: ("{digits}中最大的是？",)},
    "smallest": {Language.EN: ("Smallest of {digits}?",), Language.ZH: ("{digits}中最小的是？",)},
}


def prompt(rng: np.random.Generator, task: str, language: Language, **values: object) -> str:
    r"""One wording of the task, with `{name}` filled in; braces of \boxed{} stay."""
    variants = _PROMPTS[task][language]
    text = variants[int(rng.integers(len(variants)))]
    for name, value in values.items():
        text = text.replace("{" + name + "}", str(value))
    return text


def every_prompt() -> list[str]:
    """All wordings, for the tokenizer's corpus."""
    return [text for by_language in _PROMPTS.values() for variants in by_language.values() for text in variants]


def picture_sentence(language: Language, labels: list[int], background: str) -> str:
    """`7 and 3 on blue.`; digits from left to right."""
    name = COLOUR_NAMES[language][background]
    if language is Language.ZH:
        return f"{name}上有{'和'.join(map(str, labels))}。"
    return f"{' and '.join(map(str, labels))} on {name}."
