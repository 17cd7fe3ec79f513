"""The web part: REST API and dashboard, the only place that knows FastAPI."""
