"""``bandfuse`` and ``python -m bandfuse``."""


def main() -> None:
    """Entry point: almost nothing is imported before Ctrl-C ends the program in one line."""
    from bandfuse.cli import interrupts

    interrupts.started()
    try:
        from bandfuse.cli.main import main as run

        run()
    finally:
        interrupts.ended()


if __name__ == "__main__":
    main()
