"""HTTP on top of the parts below: an application to run or to mount; needs the ``server`` extra."""

from candlewick.server.app import create_app

__all__ = ["create_app"]
