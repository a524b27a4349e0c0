"""`python -m proxmox.node`: the embedded node without Django."""

import argparse
import logging

from proxmox.node import options, server


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m proxmox.node", description="A Proxmox VE of one machine."
    )
    options.add_arguments(parser)
    logging.basicConfig(level=logging.INFO, format="{asctime} {levelname} {name}: {message}", style="{")
    server.run(options.from_arguments(vars(parser.parse_args())))


if __name__ == "__main__":
    main()
