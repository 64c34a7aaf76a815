"""``python -m bandfuse``."""

from bandfuse.cli.main import main

if __name__ == "__main__":
    main()
