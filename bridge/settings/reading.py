"""What a source of settings holds, before its values are looked at."""

from __future__ import annotations

from dataclasses import dataclass, field

from bridge.settings.fields import Key


@dataclass(frozen=True)
class Given:
    """What was written for one setting, and where: a variable's name, or file, line and key."""

    where: str
    value: str | list[str] | dict[str, str] = field(repr=False)


@dataclass
class Reading:
    """What a source holds, and what is wrong with it, one line each.

    `doubtful` names the sections that a problem may have changed, `""` all of them: what is said about settings
    that do not fit together would be wrong there.
    """

    given: dict[Key, Given] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    doubtful: set[str] = field(default_factory=set)

    def problem(self, where: object, what: str, key: Key | None = None) -> None:
        """Note one line; `key` is what it leaves in doubt, () everything."""
        self.problems.append(f"{where}: {what}")
        if key is not None:
            self.doubtful.add("".join(key[:1]))
