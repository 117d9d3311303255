"""Fibonacci numbers over a channel, until a second channel says quit."""

import zokor


def fibonacci(c: zokor.SendChan[int], quit: zokor.RecvChan[None]) -> None:
    x, y = 0, 1
    while True:
        match zokor.select(c.to_send(x), quit):
            case 0, _:
                x, y = y, x + y
            case 1, _:
                print("quit")
                return


def main() -> None:
    c, quit = zokor.Chan[int](), zokor.Chan[None]()

    def print_ten() -> None:
        for _ in range(10):
            print(c.recv())
        quit.close()

    zokor.go(print_ten)
    fibonacci(c, quit)


zokor.run(main)
