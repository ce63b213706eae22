"""Inputs of the form of a new run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import ui

from ..core.formatting import plain
from ..submission.options import Option
from .run_form import Entry, Field, Form, choices_of
from .widgets import section, text

__all__ = ["OptionFields", "ParameterField"]

DENSE = "dense outlined options-dense hide-bottom-space"
# Options that are always shown, in this order; the others are folded.
MAIN = ("name", "metric", "direction", "algorithm", "num_trials", "stopper", "parallelism", "profile", "inputs")


class ParameterField:
    """Row of a parameter: its name and meaning, how it is given, and its value."""

    def __init__(self, field: Field, on_change: Callable[[], None]) -> None:
        self.name = field.name
        self._field, self._on_change = field, on_change
        self.entry = Entry(field.first_mode, self._default(field.first_mode))
        with ui.element("div").classes("hl-parameter"):
            with ui.element("div"):
                text("div", plain(field.name)).classes("hl-parameter-name")
                text("div", self._meaning()).classes("hl-soft hl-small-text")
            with ui.element("div").classes("hl-modes").props('role="radiogroup"') as modes:
                modes.props["aria-label"] = f"{plain(field.name)} as"
                self._buttons = {mode: self._mode_button(mode) for mode in field.modes}
            self._box = ui.element("div").classes("hl-parameter-value")
        self._choose(self.entry.mode, is_first=True)

    def _meaning(self) -> str:
        description = self._field.description
        parts = [description.help, description.allowed] if description else []
        default = self._field.default
        shown = ", ".join(map(str, default)) if isinstance(default, list) else str(default)
        return plain("; ".join([part for part in parts if part] + [f"default {shown}"]))

    def _mode_button(self, mode: str) -> ui.element:
        button = text("button", mode).classes("hl-small-button").props("type=button role=radio")
        button.on("click", lambda: self._choose(mode))
        return button

    def _default(self, mode: str) -> Any:
        default = self._field.default
        if isinstance(default, dict):
            return ""
        if mode == "list":
            values = default if isinstance(default, list) else [default]
            return [str(value) for value in values] if self._field.choices else ", ".join(map(str, values))
        if mode == "axis":
            return ""
        one = default[0] if isinstance(default, list) else default
        return one if self._field.is_flag else str(one)

    def _choose(self, mode: str, is_first: bool = False) -> None:
        for name, button in self._buttons.items():
            button.props["aria-checked"] = "true" if name == mode else "false"
        self.entry = Entry(mode, self._default(mode))
        self._box.clear()
        with self._box:
            self._draw(mode)
        if not is_first:
            self._on_change()

    def _draw(self, mode: str) -> None:
        field = self._field
        if mode == "range":
            self._text("lowest", "low")
            self._text("highest", "high")
            box = ui.checkbox("log", on_change=lambda event: self._set("log", bool(event.value))).props("dense")
            box.props["aria-label"] = f"{plain(field.name)} logarithmic"
        elif mode == "value" and field.is_flag:
            switch = ui.switch(
                value=bool(self.entry.value), on_change=lambda event: self._set("value", bool(event.value))
            )
            switch.props["aria-label"] = plain(field.name)
        elif mode in ("value", "list") and field.choices:
            options = [str(choice) for choice in field.choices]
            select = ui.select(
                options,
                multiple=mode == "list",
                value=self.entry.value if mode == "list" else str(self.entry.value),
                on_change=lambda event: self._set("value", event.value),
            ).props(DENSE + (" use-chips" if mode == "list" else ""))
            select.props["aria-label"] = plain(field.name)
        else:
            hints = {
                "list": "values, with commas between",
                "axis": "loguniform(1e-4, 1e-1), choice(a, b), normal(0, 1)",
            }
            self._text(hints.get(mode, ""), "value", plain(field.name))

    def _text(self, hint: str, attribute: str, label: str = "") -> None:
        value = getattr(self.entry, attribute)
        field = ui.input(
            placeholder=hint, value=str(value or ""), on_change=lambda event: self._set(attribute, event.value or "")
        ).props(DENSE + " debounce=250")
        field.props["aria-label"] = label or f"{plain(self.name)} {hint}"

    def _set(self, attribute: str, value: Any) -> None:
        setattr(self.entry, attribute, value)
        self._on_change()


class OptionFields:
    """Options of the run: the important ones, and the others in a fold.

    Attributes:
        values: what was entered, by key.
    """

    def __init__(self, form: Form, profiles: list[str], on_change: Callable[[], None]) -> None:
        self.values: dict[str, Any] = {}
        self._form, self._profiles, self._on_change = form, profiles, on_change
        options = {option.key: option for option in form.options}
        with section("Search and resources"), ui.element("div").classes("hl-options"):
            for key in MAIN:
                if key in options and (key != "profile" or profiles):
                    self._draw(options[key])
        rest = [option for key, option in options.items() if key not in MAIN and key != "profile"]
        with ui.element("section").classes("hl-card"), ui.expansion("More options").classes("hl-fold-out"):
            for title in dict.fromkeys(option.section for option in rest):
                text("h3", title).classes("hl-options-title")
                with ui.element("div").classes("hl-options"):
                    for option in (option for option in rest if option.section == title):
                        self._draw(option)

    def _draw(self, option: Option) -> None:
        label = option.key.replace("_", " ")
        in_file = self._form.job.get(option.key)
        hint = "" if in_file is None else f"job file: {in_file}"

        def changed(event: Any) -> None:
            self.values[option.key] = event.value
            self._on_change()

        choices = self._profiles if option.key == "profile" else choices_of(option)
        field: Any
        if option.kind is bool:
            field = ui.select({True: "yes", False: "no"}, label=label, clearable=True, on_change=changed)
        elif choices and not option.is_repeated:
            field = ui.select(choices, label=label, clearable=True, on_change=changed)
        elif option.is_repeated and option.key not in ("metric", "direction"):
            field = ui.textarea(label=label, placeholder=hint or option.metavar or "", on_change=changed).props(
                "rows=1 autogrow"
            )
        else:
            field = ui.input(label=label, placeholder=hint or option.metavar or "", on_change=changed)
        field.props(DENSE + " debounce=250" + (" stack-label" if hint else ""))
        with field:
            ui.tooltip(plain(option.help) + (f" ({plain(hint)})" if hint else "")).classes("hl-tooltip")
