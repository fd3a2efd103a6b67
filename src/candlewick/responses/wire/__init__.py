"""The Responses API's wire format: requests, items, the response object and its stream; no HTTP, no storage."""
