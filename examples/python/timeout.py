"""Three kinds of "not for ever": one operation, a select, a try."""

import zokor


def slow(answers: zokor.SendChan[int]) -> None:
    zokor.sleep(0.2)
    answers.send(42)


def main() -> None:
    answers, never = zokor.Chan[int](), zokor.Chan[int]()
    zokor.go(slow, answers)
    try:
        answers.recv(timeout=0.05)
    except TimeoutError:
        print("recv: timed out")
    match zokor.select(never, answers, timeout=10):
        case 0, _:
            print("select: a value from nowhere")
        case 1, value:
            print("select:", value)
        case None:
            print("select: timed out")
    try:
        never.try_recv()
    except zokor.WouldBlock:
        print("try: would block")


if __name__ == "__main__":
    zokor.run(main)
