"""Types for verifying a view: what its client reads, and which bytes of the image that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from image_gateway.protocol.verification import Problem


@dataclass(frozen=True)
class ViewAnswer:
    """The bytes of an answer, None if they are not the block's, and what is wrong with its headers."""

    data: bytes | None = field(repr=False)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class ViewBlock:
    """An answer that a client reads: from each of `starts`, `length` bytes of the image.

    What lies beyond the end of the image is zeros. `read` may raise Unreadable, Missing and WrongAnswer.
    """

    where: str
    starts: tuple[int, ...]
    length: int
    read: Callable[[], ViewAnswer] = field(repr=False)

    @property
    def size(self) -> int:
        return len(self.starts) * self.length


@dataclass(frozen=True)
class ViewSection:
    """Blocks of one kind; `is_image` says that all of them, in order, are the image.

    `check_end` yields what is wrong after the last block, and raises as reads do.
    """

    count: int
    block: Callable[[int], ViewBlock] = field(repr=False)
    is_image: bool = True
    check_end: Callable[[], list[Problem]] = field(default=list, repr=False)


@dataclass(frozen=True)
class ViewLayout:
    """What the documents of a view say: the size of the image, and its blocks."""

    size: int
    sections: list[ViewSection]
    problems: list[Problem] = field(default_factory=list)


class View(Protocol):
    """The view of one client; thread-safe. `where` names what it reads first, without secrets."""

    where: str

    def open(self, size: int | None) -> ViewLayout:
        """Read what the client reads first.

        Args:
            size: The size of the image, if it is known.

        Raises:
            Missing: There is no such view.
            Unreadable: It could not be read.
            WrongAnswer: The client cannot use it.
        """
        ...
