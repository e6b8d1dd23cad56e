"""Watchbill: a self-hosted operations hub. The folders are explained in docs/house.md."""

__version__ = "0.1.0"
