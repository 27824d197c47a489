"""The sections of a report, one a file. Each module has `HEADING` and ``build(context)``, which returns its markup."""

ORDER = (
    "question",
    "data",
    "estimation",
    "estimates",
    "variance",
    "pooling",
    "prediction",
    "checks",
    "advice",
    "reproduce",
)
