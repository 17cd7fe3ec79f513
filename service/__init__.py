"""The service: store, queue, REST API, client, command line and dashboard around `benchmark`."""
