"""The history of the schema, run by `service.store.migrate`."""
