"""Options that take one value are given once: of several, the parser would keep the last and drop the others unsaid."""

from __future__ import annotations

from collections import Counter
from typing import Any

from typer.core import TyperCommand


class OnceCommand(TyperCommand):
    """A command that refuses an option with one value given twice; flags, and options made to be repeated, may be."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse as any command does, and then look for values that were dropped."""
        given = list(args)  # parsing takes them off
        left = super().parse_args(ctx, args)
        if not ctx.resilient_parsing:
            _, _, order = self.make_parser(ctx).parse_args(args=given)
            for parameter, times in Counter(order).items():
                if times > 1 and _takes_one(parameter):
                    ctx.fail(f"{parameter.opts[0]} takes one value and is given {times} times: leave all but one out")
        return left


def _takes_one(parameter: Any) -> bool:
    return parameter.param_type_name == "option" and not (parameter.multiple or parameter.is_flag or parameter.count)
