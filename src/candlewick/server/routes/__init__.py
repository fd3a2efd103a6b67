"""One file a route; each makes a router from what it serves."""
