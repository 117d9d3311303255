"""Stages that are joined by channels: numbers, their squares, the squares of those, the sum."""

from collections.abc import Iterable

import zokor


def source(numbers: Iterable[int]) -> zokor.RecvChan[int]:
    out = zokor.Chan[int]()

    def body() -> None:
        with out:  # leaving closes it
            for n in numbers:
                out.send(n)

    zokor.go(body)
    return out


def square(numbers: zokor.RecvChan[int]) -> zokor.RecvChan[int]:
    return source(n * n for n in numbers)


def main() -> int:
    return sum(square(square(source(range(10)))))


if __name__ == "__main__":
    print(zokor.run(main))
