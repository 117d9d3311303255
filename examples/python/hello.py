"""One goroutine, one channel."""

import zokor


def main() -> None:
    inbox = zokor.Chan[str]()
    zokor.go(inbox.send, "hello, world")
    print(inbox.recv())


if __name__ == "__main__":
    zokor.run(main)
