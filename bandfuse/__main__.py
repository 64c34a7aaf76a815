"""``bandfuse`` and ``python -m bandfuse``."""

import sys


def main() -> None:
    """Entry point: almost nothing is imported before Ctrl-C ends the program in one line."""
    try:
        from bandfuse.cli import interrupts

        interrupts.started()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: nothing was written\n")
        raise SystemExit(130) from None
    try:
        from bandfuse.cli.main import main as run

        run()
    finally:
        interrupts.ended()


if __name__ == "__main__":
    main()
