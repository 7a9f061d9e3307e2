"""GUI: one action of the unified 12-action space (report 2.2.5) for an instruction on a drawn screen.

A screen of 112 x 112 px: two coloured buttons of 56 x 28 px, each with a handwritten digit, and a white text field,
all on the 28 px lattice. Actions with a point aim at the middle of an element; the others need the words alone.
Scrolling names the direction of the finger, as the report does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mimo_vl.data.synthesis.draft import Draft, Rng, ask
from mimo_vl.data.synthesis.studio import CELL, COLOURS, Box, Canvas, Studio
from mimo_vl.data.synthesis.wording import COLOUR_NAMES
from mimo_vl.vocabulary import DataType, Language

_SIDE = 4 * CELL
_SCREEN = (56.0, 56.0, 56.0)
_BUTTON_COLOURS = [name for name in COLOURS if name != "black"]
# Actions that look at the screen come more often than those that the words alone decide.
_POINT_SHARE = 0.6
_DIRECTIONS = {"up": "上", "down": "下", "left": "左", "right": "右"}
_KEYS = {"back": "返回", "home": "主页", "enter": "回车"}

Action = dict[str, Any]


@dataclass(frozen=True)
class Element:
    colour: str
    box: Box

    @property
    def centre(self) -> list[int]:
        return [(self.box[0] + self.box[2]) // 2, (self.box[1] + self.box[3]) // 2]


@dataclass(frozen=True)
class Screen:
    """The field is the third element."""

    buttons: tuple[Element, Element]
    field: Element


# An instruction in both languages, the right action, and the element that it aims at.
Task = tuple[str, str, Action, Element | None]


def gui_action(studio: Studio, rng: Rng, language: Language) -> Draft:
    canvas, screen = _draw_screen(studio, rng)
    makers = _POINT_TASKS if rng.random() < _POINT_SHARE else _WORD_TASKS
    english, chinese, action, target = makers[int(rng.integers(len(makers)))](rng, screen)
    answer = json.dumps(action, ensure_ascii=False, separators=(",", ":"))
    return Draft(
        data_type=DataType.GUI,
        language=language,
        question=ask(english if language is Language.EN else chinese),
        answer=answer,
        media=(canvas.as_image(),),
        source_ids=tuple(canvas.source_ids),
        scorer="gui_step",
        meta={"boxes": json.dumps([list(target.box)])} if target else {},
    )


def _draw_screen(studio: Studio, rng: Rng) -> tuple[Canvas, Screen]:
    canvas = Canvas(_background(_SIDE), [])
    rows = rng.permutation(4)[:3].tolist()
    colours = [_BUTTON_COLOURS[int(c)] for c in rng.permutation(len(_BUTTON_COLOURS))[:2]]
    elements = []
    for row, colour in zip(rows, [*colours, "white"], strict=True):
        x = int(rng.integers(2)) * 2 * CELL
        box = (x, row * CELL, x + 2 * CELL, (row + 1) * CELL)
        _fill(canvas, box, COLOURS.get(colour, (235, 235, 235)))
        elements.append(Element(colour, box))
    for button in elements[:2]:
        x, y = button.box[:2]
        studio.write(canvas, rng, studio.digit(rng), (x + CELL // 2, y, x + CELL // 2 + CELL, y + CELL))
    return canvas, Screen((elements[0], elements[1]), elements[2])


def _background(side: int) -> npt.NDArray[np.float32]:
    return np.full((side, side, 3), _SCREEN, dtype=np.float32)


def _fill(canvas: Canvas, box: Box, colour: tuple[int, int, int]) -> None:
    # A border of one pixel keeps neighbours apart.
    canvas.pixels[box[1] + 1 : box[3] - 1, box[0] + 1 : box[2] - 1] = colour


def _click(rng: Rng, screen: Screen) -> Task:
    target = screen.buttons[int(rng.integers(2))]
    en, zh = _names(target)
    return f"Click the {en} button.", f"点击{zh}按钮。", {"action": "click", "start_point": target.centre}, target


def _long_press(rng: Rng, screen: Screen) -> Task:
    target = screen.buttons[int(rng.integers(2))]
    en, zh = _names(target)
    action = {"action": "longpress", "start_point": target.centre}
    return f"Long press the {en} button.", f"长按{zh}按钮。", action, target


def _drag(rng: Rng, screen: Screen) -> Task:
    first, second = (screen.buttons[int(i)] for i in rng.permutation(2))
    action = {"action": "drag", "start_point": first.centre, "end_point": second.centre}
    (en1, zh1), (en2, zh2) = _names(first), _names(second)
    return f"Drag the {en1} button to the {en2} one.", f"把{zh1}按钮拖到{zh2}按钮。", action, first


def _input(rng: Rng, screen: Screen) -> Task:
    text = _number(rng)
    action = {"action": "input", "text": text, "start_point": screen.field.centre}
    return f"Type {text} into the field.", f"在输入框输入{text}。", action, screen.field


def _scroll(rng: Rng, _: Screen) -> Task:
    direction = list(_DIRECTIONS)[int(rng.integers(4))]
    action = {"action": "scroll", "direction": direction}
    return f"Scroll {direction}.", f"向{_DIRECTIONS[direction]}滚动。", action, None


def _press(rng: Rng, _: Screen) -> Task:
    key = list(_KEYS)[int(rng.integers(3))]
    return f"Press {key}.", f"按{_KEYS[key]}键。", {"action": "press", "keys": [key]}, None


def _open(rng: Rng, _: Screen) -> Task:
    app = _number(rng)
    return f"Open app {app}.", f"打开应用{app}。", {"action": "open", "app": app}, None


def _app_switch(rng: Rng, _: Screen) -> Task:
    app = _number(rng)
    return f"Switch to app {app}.", f"切换到应用{app}。", {"action": "appswitch", "app": app}, None


def _select(rng: Rng, _: Screen) -> Task:
    text = _number(rng)
    return f"Select the text {text}.", f"选中文字{text}。", {"action": "select", "text": text}, None


def _finished(rng: Rng, _: Screen) -> Task:
    status = ("success", "failure")[int(rng.integers(2))]
    words = {"success": ("The task is done.", "任务完成了。"), "failure": ("The task failed.", "任务失败了。")}[status]
    return *words, {"action": "finished", "status": status}, None


def _wait(_: Rng, __: Screen) -> Task:
    return "The page is loading.", "页面正在加载。", {"action": "wait"}, None


def _hover(_: Rng, __: Screen) -> Task:
    return "Hover here.", "悬停在这里。", {"action": "hover"}, None


def _names(element: Element) -> tuple[str, str]:
    return COLOUR_NAMES[Language.EN][element.colour], COLOUR_NAMES[Language.ZH][element.colour]


def _number(rng: Rng) -> str:
    return str(int(rng.integers(10, 100)))


_POINT_TASKS: tuple[Callable[[Rng, Screen], Task], ...] = (_click, _long_press, _drag, _input)
_WORD_TASKS: tuple[Callable[[Rng, Screen], Task], ...] = (
    _scroll,
    _press,
    _open,
    _app_switch,
    _select,
    _finished,
    _wait,
    _hover,
)
