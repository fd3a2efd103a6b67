"""The Responses API without HTTP: make, follow, cancel and keep responses and conversations."""

from candlewick.responses.api.running import RunningResponse
from candlewick.responses.api.server_access import ServerAccess
from candlewick.responses.api.service import ResponsesService

__all__ = ["ResponsesService", "RunningResponse", "ServerAccess"]
