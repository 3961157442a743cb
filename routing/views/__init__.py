"""The console's pages for routing: policies, models, the health of the fleet."""
